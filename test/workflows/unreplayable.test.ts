// A run whose history the workflow's code can't replay, on a real Temporal server: the session goes on without it.
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';

/** CommandType: SCHEDULE_ACTIVITY_TASK. */
const SCHEDULE_ACTIVITY = 1;
const POLL_MS_MAX = 20_000;
/** A session is looked at again after half a minute. */
const LOOK_MS = 31_000;
const namespace = 'default';

let engine: TestEngine;
beforeAll(async () => {
  engine = await startTestEngine({ idle: true });
});
afterAll(() => engine.stop());

/** The test itself is a worker with other code. */
async function decideOtherwise(): Promise<void> {
  const service = engine.client.connection.workflowService;
  const taskQueue = { name: engine.taskQueue };
  const { taskToken } = await engine.client.withDeadline(Date.now() + POLL_MS_MAX, () =>
    service.pollWorkflowTaskQueue({ namespace, taskQueue }),
  );
  const step = {
    ...{ activityId: '1', activityType: { name: 'otherStep' }, taskQueue },
    startToCloseTimeout: { seconds: 60 as never },
  };
  const command = { commandType: SCHEDULE_ACTIVITY, scheduleActivityTaskCommandAttributes: step };
  await service.respondWorkflowTaskCompleted({ namespace, taskToken, commands: [command] });
}

test('it is ended, and the next one answers what is owed', async () => {
  const session = await engine.createSession();
  const message = await engine.send(session, 'Answered after all');
  await decideOtherwise();
  const { runId } = await engine.handle(session).describe();
  const waiting = await engine.send(session, 'And then?');
  await engine.startWorker();
  const runAfterSweep = async () => {
    engine.clock.aheadMs += LOOK_MS;
    await engine.sweep.run();
    return (await engine.handle(session).describe()).runId;
  };
  await eventually(runAfterSweep, (now) => now !== runId);
  expect(await engine.settled(message)).toMatchObject({ status: 'completed' });
  expect(await engine.settled(waiting)).toMatchObject({ status: 'completed' });
  const { status } = await engine.client.workflow.getHandle(session, runId).describe();
  expect(status.name).toBe('TERMINATED');
});
