// What people see of a session in the Temporal UI (design section 6).
import type { temporal } from '@temporalio/proto';
import type { Model } from '../../src/models/port.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';
import { failureOf } from '../support/store.ts';

let engine: TestEngine;
afterEach(() => engine.stop());

const idle = (session: string, turns: number) =>
  engine.rebuiltState(
    session,
    (state) => state.turns === turns && !state.running && state.queue.length === 0,
  );

/** The words that Temporal was given, wherever they are: payloads are base64 in a history's JSON. */
async function everythingIn(session: string): Promise<string> {
  const history = await engine.handle(session).fetchHistory();
  const words: string[] = [];
  const collect = (value: unknown): void => {
    if (value instanceof Uint8Array) words.push(Buffer.from(value).toString('utf8'));
    else if (typeof value === 'string') words.push(value);
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(collect);
  };
  collect(history);
  return words.join('\n');
}

const metadata = (session: string) =>
  engine.handle(session).query<temporal.api.sdk.v1.IWorkflowMetadata>('__temporal_workflow_metadata');

/** The summaries of the model steps, in order. */
async function summaries(session: string): Promise<string[]> {
  const { events } = await engine.handle(session).fetchHistory();
  return (events ?? [])
    .filter((event) => event.activityTaskScheduledEventAttributes)
    .map((event) => Buffer.from(event.userMetadata?.summary?.data ?? []).toString('utf8'));
}

test('a session reads as its story: attributes, summary, the steps in words, and its last turns', async () => {
  engine = await startTestEngine();
  const session = await engine.createSession({ model: 'claude-opus-4-6' });
  await engine.settled(await engine.send(session, 'What is the weather?'));
  await engine.settled(await engine.send(session, 'Refuse [[status=400]]'));
  await idle(session, 2);

  const description = await engine.handle(session).describe();
  expect(description.type).toBe('session');
  expect(description.searchAttributes).toMatchObject({
    OpenClawAccount: [engine.caller.accountId],
    OpenClawStatus: ['active'],
    OpenClawModel: ['claude-opus-4-6'],
  });
  expect(await description.staticSummary()).toContain('claude-opus-4-6');
  expect(await description.staticDetails()).toContain(engine.caller.accountId);
  expect(await summaries(session)).toEqual(['"What is the weather?"', '"Refuse [[status=400]]"']);

  const { currentDetails, definition } = await metadata(session);
  expect(currentDetails).toMatch(/\*\*idle\*\*.*claude-opus-4-6.*2 turns.*0 queued/);
  expect(currentDetails).toMatch(/turn 1.*What is the weather\?[\s\S]*\[simulated\] What is the weather\?/);
  expect(currentDetails).toMatch(/turn 2.*Refuse[\s\S]*\(failed\).*400/);
  expect(definition?.signalDefinitions?.map(({ name }) => name).sort()).toEqual([
    ...['configure', 'deliver', 'end', 'interrupt', 'message', 'toolResult'],
  ]);
});

test('a session that waits for tools says for which, from whom, since when and until when', async () => {
  engine = await startTestEngine();
  const look = {
    name: 'look_up',
    description: 'Looks something up',
    parameters: { type: 'object' },
    timeout_seconds: 3_600,
  };
  const ask = { name: 'ask_boss', description: 'Asks somebody', parameters: { type: 'object' } };
  const session = await engine.createSession({ tools: ['calculator', look, ask] });
  const content = 'use tool calculator {"expression":"6*7"} use tool look_up {} use tool ask_boss {}';
  const { replyId } = await engine.send(session, content);
  await engine.rebuiltState(session, ({ running }) => running?.calls?.length === 2);
  const rows = await engine.rows.openToolCalls(replyId);
  const instant = (ms: number | null) =>
    `${new Date(ms ?? 0).toISOString().slice(0, 19).replace('T', ' ')} UTC`;

  const { currentDetails } = await metadata(session);
  expect(currentDetails?.split('\n').slice(0, 5)).toEqual([
    expect.stringMatching(/^\*\*waiting for look_up, ask_boss\*\* · model /),
    '',
    expect.stringContaining('answering: use tool calculator'),
    `- result of **look_up** (${rows[0]?.id}) from the client, since ${instant(rows[0]!.created_at)}, until ${instant(rows[0]!.expires_at)}`,
    `- result of **ask_boss** (${rows[1]?.id}) from the client, since ${instant(rows[1]!.created_at)}, without a time limit`,
  ]);
  expect((await summaries(session)).slice(1)).toEqual(['"calculator"']);
  const { events } = await engine.handle(session).fetchHistory();
  const timers = (events ?? []).filter((event) => event.timerStartedEventAttributes);
  expect(timers.map(({ userMetadata }) => Buffer.from(userMetadata?.summary?.data ?? []).toString())).toEqual(
    ['"wait for look_up"'],
  );
  expect(await engine.sessions.state(engine.caller, session)).toMatchObject({
    phase: 'waiting_tool',
    reason: 'waiting for look_up, ask_boss, called by model step 1',
    since: new Date(rows[0]!.created_at).toISOString(),
  });
});

test('a change of the model and the end of the session show in its attributes', async () => {
  engine = await startTestEngine();
  const session = await engine.createSession();
  await engine.settled(await engine.send(session));
  await engine.sessions.update(engine.caller, session, { model: 'claude-opus-4-6' });
  await engine.rebuiltState(session, (state) => state.model === 'claude-opus-4-6');
  await engine.sessions.archive(engine.caller, session);
  await engine.handle(session).result();
  const description = await engine.handle(session).describe();
  expect(description.searchAttributes).toMatchObject({
    OpenClawStatus: ['archived'],
    OpenClawModel: ['claude-opus-4-6'],
  });
  expect((await metadata(session)).currentDetails).toContain('ended (archived)');
});

test('a conversation never goes through Temporal, but for short previews', async () => {
  engine = await startTestEngine();
  const session = await engine.createSession({ system_prompt: 'The system prompt is secret' });
  const long = `Begin ${'very long '.repeat(50)} the very end`;
  await engine.settled(await engine.send(session, long));
  await idle(session, 1);
  const everything = await everythingIn(session);
  expect(everything).toContain('Begin very long');
  expect(everything).not.toContain('the very end');
  expect(everything).not.toContain('system prompt');
});

test('a reply that failed for good is a failed step, with the real number of tries and no interrupt', async () => {
  let tries = 0;
  const stream: Model['stream'] = async () => {
    tries += 1;
    throw failureOf({ retryAfterMs: 1 });
  };
  engine = await startTestEngine({ model: { stream } });
  const session = await engine.createSession();
  expect(await engine.settled(await engine.send(session, 'Hello'))).toMatchObject({ status: 'failed' });
  await idle(session, 1);
  expect(tries).toBe(6);
  const { events } = await engine.handle(session).fetchHistory();
  const started = events?.map((event) => event.activityTaskStartedEventAttributes).find(Boolean);
  expect(started?.lastFailure?.message).toMatch(/529 .*\(failed try 5 of 6\)$/);
  const failed = events?.map((event) => event.activityTaskFailedEventAttributes).find(Boolean);
  expect(failed?.failure).toMatchObject({ applicationFailureInfo: { type: 'model_overloaded' } });
  const signals = events?.flatMap(
    ({ workflowExecutionSignaledEventAttributes: each }) => each?.signalName ?? [],
  );
  expect(signals).toEqual(['message']);
});

test('without previews no word of anyone is in Temporal', async () => {
  engine = await startTestEngine({ showPreviews: false });
  const session = await engine.createSession();
  const message = await engine.send(session, 'Confidential');
  await engine.settled(message);
  const failing = await engine.send(session, 'Confidential too [[status=400]]');
  await engine.settled(failing);
  await idle(session, 2);
  const everything = await everythingIn(session);
  expect(everything).toContain(message.replyId);
  expect(everything).not.toMatch(/confidential|simulated/i);
  expect(await summaries(session)).toEqual([message, failing].map(({ userMessageId: id }) => `"${id}"`));
  const { currentDetails } = await metadata(session);
  expect(currentDetails).toContain(message.userMessageId);
  expect(currentDetails).not.toMatch(/confidential|simulated/i);
});
