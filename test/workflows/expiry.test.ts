// What takes hours and days, on a Temporal server whose clock can be moved: idle sessions end by themselves, and a model
// step that never succeeds is given up.
import { ApplicationFailure } from '@temporalio/common';
import type * as Testing from '@temporalio/testing';
import type { Model } from '../../src/models/port.ts';
import { SEARCH_ATTRIBUTES } from '../../workflows/protocol.ts';
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';
import { readRunFile } from '../support/run-file.ts';
import { failureOf, replyOf } from '../support/store.ts';

const DAY_S = 24 * 60 * 60;
/** Temporal's number for the type of a search attribute. */
const KEYWORD = 2;
const HOUR_MS = 60 * 60 * 1_000;

let environment: Testing.TestWorkflowEnvironment;
let engine: TestEngine;
let nowMs = 0;
/** How often the model fails before it answers, each time asking for an hour's patience. */
let failures = 0;
/** No failure of the model's: the activity itself breaks, at each try. */
let isBroken = false;

const model: Model = {
  async stream(_request, { onText }) {
    if (isBroken) throw ApplicationFailure.create({ message: 'A bug', nextRetryDelay: HOUR_MS });
    failures -= 1;
    if (failures >= 0) throw failureOf({ retryAfterMs: HOUR_MS });
    nowMs = await environment.currentTimeMs();
    onText('Hi');
    return replyOf('Hi');
  },
};

beforeAll(async () => {
  const { testServerPath } = readRunFile();
  // In a registry of its own, for it installs a runtime, and our worker wants to install its own.
  let TestWorkflowEnvironment = null as unknown as typeof Testing.TestWorkflowEnvironment;
  jest.isolateModules(() => {
    ({ TestWorkflowEnvironment } = jest.requireActual<typeof Testing>('@temporalio/testing'));
  });
  environment = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path: testServerPath } },
  });
  // The server knows how to add them, and not how to list them.
  await environment.connection.operatorService.addSearchAttributes({
    namespace: 'default',
    searchAttributes: Object.fromEntries(Object.values(SEARCH_ATTRIBUTES).map((name) => [name, KEYWORD])),
  });
  engine = await startTestEngine({ address: environment.address, model, now: () => nowMs });
});
afterAll(async () => {
  await engine?.stop();
  await environment?.teardown();
});
beforeEach(async () => {
  nowMs = await environment.currentTimeMs();
});

async function pass(time: string): Promise<void> {
  await environment.sleep(time as never);
  nowMs = await environment.currentTimeMs();
}

const ends = async (session: string) =>
  (await engine.events(session))
    .filter((event) => event.type === 'session.ended')
    .map((event) => event.data.reason);

const ended = (session: string) =>
  eventually(
    () => engine.sessionRow(session),
    (row) => row.status !== 'active',
  );

/** The workflow waits: for a message, or for its deadline. */
const idle = (session: string, expires: boolean) =>
  engine.rebuiltState(session, (state) => !state.running && (state.expiresAtMs !== null) === expires);

const run = async (session: string) => (await engine.handle(session).describe()).status.name;

test('thirty idle days end a session, once', async () => {
  const session = await engine.createSession({ expires_after_seconds: 30 * DAY_S });
  await engine.settled(await engine.send(session));
  await idle(session, true);
  await pass('29 days');
  expect(await ends(session)).toEqual([]);
  expect(await run(session)).toBe('RUNNING');
  await pass('25 hours');
  expect(await ended(session)).toMatchObject({ status: 'completed', ended_reason: 'expired' });
  await eventually(
    () => run(session),
    (status) => status === 'COMPLETED',
  );
  await pass('60 days');
  expect(await ends(session)).toEqual(['expired']);
});

test('a session that nobody ever wrote to ends as well', async () => {
  const session = await engine.createSession({ expires_after_seconds: 60 });
  await idle(session, true);
  await pass('61 seconds');
  expect(await ended(session)).toMatchObject({ ended_reason: 'expired' });
});

test('activity in between prolongs it', async () => {
  const session = await engine.createSession({ expires_after_seconds: 30 * DAY_S });
  await idle(session, true);
  for (let month = 0; month < 3; month += 1) {
    await pass('29 days');
    await engine.settled(await engine.send(session));
    await idle(session, true);
  }
  expect(await ends(session)).toEqual([]);
  await pass('31 days');
  await ended(session);
  expect(await ends(session)).toEqual(['expired']);
});

test('a deadline that is changed while the session is idle counts from then on', async () => {
  const session = await engine.createSession({ expires_after_seconds: DAY_S });
  await idle(session, true);
  await engine.sessions.update(engine.caller, session, { expires_after_seconds: null });
  await idle(session, false);
  await pass('400 days');
  expect(await ends(session)).toEqual([]);
  await engine.sessions.update(engine.caller, session, { expires_after_seconds: 60 });
  await idle(session, true);
  await pass('61 seconds');
  await ended(session);
});

test('a turn of many hours is not idleness: its session ends after it, not during it', async () => {
  const session = await engine.createSession({ expires_after_seconds: 60 });
  failures = 5;
  const message = await engine.send(session);
  for (
    let hour = 0;
    hour < 6 && (await engine.messageRow(message.replyId)).completed_at === null;
    hour += 1
  ) {
    expect(await ends(session)).toEqual([]);
    await pass('1 hour');
  }
  expect(await engine.settled(message)).toMatchObject({ status: 'completed' });
  await pass('2 minutes');
  await ended(session);
  expect(await ends(session)).toEqual(['expired']);
});

test('a model step that has failed for a day, whatever it was, fails its reply, and the session stays usable', async () => {
  const session = await engine.createSession();
  isBroken = true;
  const message = await engine.send(session);
  const isOver = async () => (await engine.messageRow(message.replyId)).completed_at !== null;
  for (let hours = 0; hours < 30 && !(await isOver()); hours += 1) await pass('1 hour');
  isBroken = false;
  const reply = await engine.settled(message);
  expect(reply).toMatchObject({ status: 'failed' });
  expect(JSON.parse(reply.error ?? '')).toMatchObject({
    code: 'internal_error',
    message: expect.stringMatching(/bug|timeout/i),
  });
  expect(await engine.settled(await engine.send(session))).toMatchObject({ status: 'completed' });
});
