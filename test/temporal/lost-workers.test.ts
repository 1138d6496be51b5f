// What workers that are gone had taken is taken from them, on a real Temporal server; the test itself plays the workers.
import { randomUUID } from 'node:crypto';
import { Client } from '@temporalio/client';
import { pino } from 'pino';
import { connectTemporal, type TemporalConnection } from '../../src/temporal/connection.ts';
import { createSessionAttempts } from '../../src/temporal/session-attempts.ts';
import { createSessionTakeover } from '../../src/temporal/session-takeover.ts';
import { workflowId } from '../../workflows/protocol.ts';
import { eventually } from '../support/api-client.ts';
import { readRunFile } from '../support/run-file.ts';

/** CommandType: SCHEDULE_ACTIVITY_TASK. */
const SCHEDULE_ACTIVITY = 1;
const POLL_MS_MAX = 20_000;
const namespace = 'default';
const ASLEEP = 'worker-asleep';
const AWAKE = 'worker-awake';

let temporal: TemporalConnection;
let client: Client;
beforeAll(async () => {
  temporal = await connectTemporal({ address: readRunFile().address }, pino({ level: 'silent' }));
  client = new Client({ connection: temporal.connection, namespace });
});
afterAll(() => temporal.close());

/** Temporal wants to know how long a poll may last. */
const poll = <T>(ask: () => Promise<T>): Promise<T> =>
  client.connection.withDeadline(Date.now() + POLL_MS_MAX, ask);

/** A run with one activity, whose attempts go to whoever polls for them. */
async function startStep() {
  const sessionId = `sess_${randomUUID()}`;
  const queue = { taskQueue: { name: sessionId }, namespace };
  const service = client.connection.workflowService;
  const options = { taskQueue: sessionId, workflowId: workflowId(sessionId), args: [] };
  const { firstExecutionRunId: runId } = await client.workflow.start('session', options);
  const { taskToken } = await poll(() => service.pollWorkflowTaskQueue({ ...queue, identity: AWAKE }));
  const step = {
    ...{ activityId: '1', activityType: { name: 'modelStep' }, taskQueue: queue.taskQueue },
    startToCloseTimeout: { seconds: 60 as never },
  };
  const command = { commandType: SCHEDULE_ACTIVITY, scheduleActivityTaskCommandAttributes: step };
  await service.respondWorkflowTaskCompleted({ namespace, taskToken, identity: AWAKE, commands: [command] });
  return {
    /** Takes the next attempt, and says nothing more of it. @returns its number. */
    async take(identity: string): Promise<number> {
      const { attempt } = await poll(() => service.pollActivityTaskQueue({ ...queue, identity }));
      return attempt ?? 0;
    },
    /** Takes the next workflow task, and says nothing more of it. @returns the run that it is of. */
    async takeTask(identity: string): Promise<string> {
      const { workflowExecution } = await poll(() => service.pollWorkflowTaskQueue({ ...queue, identity }));
      return workflowExecution?.runId ?? '';
    },
    sessionId,
    runId,
    signal: () => client.workflow.getHandle(workflowId(sessionId)).signal('message'),
    pending: async () => {
      const { raw } = await client.workflow.getHandle(workflowId(sessionId)).describe();
      return (raw.pendingActivities ?? []).map(({ activityId, attempt }) => ({ activityId, attempt }));
    },
    lost: { sessionId, runId, activityId: '1', attempt: 1, worker: ASLEEP },
    end: () => client.workflow.getHandle(workflowId(sessionId)).terminate(),
  };
}

test('what a stopped worker is given again while it sleeps is taken from it within a second', async () => {
  const attempts = createSessionAttempts({ client, namespace: 'default', temporal });
  const { take, lost, end } = await startStep();
  expect(await take(ASLEEP)).toBe(1);
  for (const next of [2, 3]) {
    const from = Date.now();
    const taken = take(ASLEEP);
    await eventually(() => attempts.failAttempt(lost), Boolean);
    expect(await taken).toBe(next);
    expect(Date.now() - from).toBeLessThan(5_000);
  }
  await end();
});

test('what another worker was given is left to it', async () => {
  const attempts = createSessionAttempts({ client, namespace: 'default', temporal });
  const { take, lost, end } = await startStep();
  expect(await take(ASLEEP)).toBe(1);
  expect(await attempts.failAttempt(lost)).toBe(true);
  expect(await take(AWAKE)).toBe(2);
  const isOld = () => attempts.isUnderWay({ ...lost, worker: AWAKE, attempt: 2 });
  const from = Date.now();
  await eventually(isOld, (underWay) => underWay && Date.now() - from > 1_000);
  expect(await attempts.failAttempt(lost)).toBe(false);
  await end();
});

describe('a workflow task that was taken before this process was born', () => {
  const takeover = () => createSessionTakeover({ client, namespace, temporal });

  test('is offered again at once, beside an activity that nobody has taken', async () => {
    const { runId, sessionId, signal, takeTask, pending, end } = await startStep();
    await signal();
    expect(await takeTask(ASLEEP)).toBe(runId);
    await takeover().takeOver(sessionId, AWAKE);
    expect(await takeTask(AWAKE)).not.toBe(runId);
    expect(await pending()).toEqual([{ activityId: '1', attempt: 1 }]);
    await end();
  });

  test('is offered again together with the attempt that was taken as well', async () => {
    const { runId, sessionId, signal, take, takeTask, end } = await startStep();
    expect(await take(ASLEEP)).toBe(1);
    await signal();
    expect(await takeTask(ASLEEP)).toBe(runId);
    await takeover().takeOver(sessionId, AWAKE);
    expect(await takeTask(AWAKE)).not.toBe(runId);
    expect(await take(AWAKE)).toBe(1);
    await end();
  });

  test('waits for its time while this process itself has an attempt of the session', async () => {
    const { runId, sessionId, signal, take, takeTask, end } = await startStep();
    await signal();
    expect(await takeTask(ASLEEP)).toBe(runId);
    expect(await take(AWAKE)).toBe(1);
    await takeover().takeOver(sessionId, AWAKE);
    const { runId: now } = await client.workflow.getHandle(workflowId(sessionId)).describe();
    expect(now).toBe(runId);
    await end();
  });
});
