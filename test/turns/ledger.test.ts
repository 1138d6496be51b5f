// Each model call is billed once, whatever became of its attempt, and every sum is the sum of the ledger's lines.
import type { ModelUsage } from '../../src/models/port.ts';
import { NO_USAGE, type UsageColumns } from '../../src/stores/schema.ts';
import type { StepWriter } from '../../src/turns/step-writer.ts';
import { failureOf, openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

/** What a stream tells at its beginning, and what it tells at its end. */
const EARLY: ModelUsage = {
  ...{ inputTokens: 100, outputTokens: 1, cacheCreationInputTokens: 20, cacheReadInputTokens: 30 },
};
const WHOLE: ModelUsage = { ...EARLY, outputTokens: 40 };

const tokens = ({ inputTokens, outputTokens }: ModelUsage) => ({
  input_tokens: inputTokens,
  output_tokens: outputTokens,
});

const NAMES = Object.keys(NO_USAGE) as (keyof UsageColumns)[];
const columns = (row: UsageColumns) => Object.fromEntries(NAMES.map((name) => [name, Number(row[name])]));

const lines = (session: string) =>
  store.db
    .selectFrom('model_calls')
    .selectAll()
    .where('session_id', '=', session)
    .orderBy('ended_at')
    .execute();

async function expectSums(session: string): Promise<void> {
  const calls = await lines(session);
  const sum = Object.fromEntries(
    NAMES.map((name) => [name, calls.reduce((total, call) => total + Number(call[name]), 0)]),
  );
  expect(columns(await store.sessionRow(session))).toEqual(sum);
}

async function answering() {
  const session = await store.createSession();
  const message = await store.send(session);
  const writer = writerOf(await store.open(message, null));
  return { session, message, writer };
}

const late = (writer: StepWriter, usage = WHOLE, isCancelled = false) =>
  store.turns.recordLateCall(writer, { usage, isCancelled });

/** What becomes of an attempt that has spoken, and how its line ends. */
describe.each([
  {
    name: 'whose reply is interrupted',
    outcome: 'interrupted',
    status: 'interrupted',
    end: ({ session, message }: Answering) =>
      store.turns.interrupt({ sessionId: session, head: null, replyId: message.replyId }),
  },
  {
    name: 'whose session is completed',
    outcome: 'interrupted',
    status: 'interrupted',
    end: ({ session }: Answering) => store.sessions.complete(store.caller, session),
  },
  {
    name: 'whose step is given up by the workflow',
    outcome: 'failed',
    status: 'failed',
    end: ({ session, message }: Answering) =>
      store.turns.fail({ sessionId: session, head: null, replyId: message.replyId }, 'timed out'),
  },
  {
    name: 'that another one replaces',
    outcome: 'superseded',
    status: 'in_progress',
    end: ({ message }: Answering) => store.open(message, null),
  },
])('an attempt $name', ({ outcome, status, end }) => {
  const spoken = async () => {
    const open = await answering();
    await store.turns.appendText(open.writer, 'Half', { told: EARLY });
    await end(open);
    return open;
  };

  test('is billed at once for what was told, on reply and session, though it never speaks again', async () => {
    const { session, message, writer } = await spoken();
    expect(await lines(session)).toMatchObject([{ id: writer.callId, outcome, ...tokens(EARLY) }]);
    expect(await store.messageRow(message.replyId)).toMatchObject({ status, ...tokens(EARLY) });
    await expectSums(session);
  });

  test('and adds once what it learns later: to a reply that is still open, else to the session alone', async () => {
    const { session, message, writer } = await spoken();
    const before = await store.messageRow(message.replyId);
    const events = await store.events(session);
    for (const _ of [1, 2, 3]) await late(writer);
    expect(await lines(session)).toMatchObject([{ outcome, ...tokens(WHOLE) }]);
    const after = await store.messageRow(message.replyId);
    if (status === 'in_progress') expect(after).toMatchObject(tokens(WHOLE));
    else expect(after).toEqual(before);
    expect(await store.events(session)).toEqual(events);
    await expectSums(session);
  });

  test('that had told nothing is billed when it comes to its end', async () => {
    const open = await answering();
    await end(open);
    expect(await lines(open.session)).toEqual([]);
    await late(open.writer);
    expect(await lines(open.session)).toMatchObject([
      { outcome: outcome === 'failed' ? 'superseded' : outcome, ...tokens(WHOLE) },
    ]);
    await expectSums(open.session);
  });
});

type Answering = Awaited<ReturnType<typeof answering>>;

test('an attempt that stops with its worker is billed, and not again by the one that goes on', async () => {
  const { session, message, writer } = await answering();
  await store.turns.appendText(writer, 'Half', { told: EARLY });
  await late(writer, EARLY);
  const next = writerOf(await store.open(message, null));
  await store.turns.complete(next, 'Whole', replyOf('Whole', WHOLE));
  expect((await lines(session)).map((line) => line.outcome).sort()).toEqual(['completed', 'superseded']);
  const total = { input_tokens: 200, output_tokens: 41 };
  expect(await store.messageRow(message.replyId)).toMatchObject(total);
  await expectSums(session);
});

test('an attempt that its workflow has cancelled is interrupted, also when its reply is not closed yet', async () => {
  const { session, writer } = await answering();
  await late(writer, EARLY, true);
  expect(await lines(session)).toMatchObject([{ outcome: 'interrupted' }]);
});

test('a late bill does not touch the call that is under way', async () => {
  const { session, message, writer } = await answering();
  const living = writerOf(await store.open(message, null));
  await store.turns.appendText(living, 'Mine', { told: EARLY });
  await late(writer);
  await store.turns.interrupt({ sessionId: session, head: null, replyId: message.replyId });
  expect((await lines(session)).map((line) => [line.id, line.outcome]).sort()).toEqual(
    [
      [writer.callId, 'superseded'],
      [living.callId, 'interrupted'],
    ].sort(),
  );
  expect(await store.messageRow(message.replyId)).toMatchObject({ input_tokens: 200, output_tokens: 41 });
  await expectSums(session);
});

test('the renewal of a lease tells the cost of a model that only thinks', async () => {
  const { session, message, writer } = await answering();
  await store.turns.renewLease(writer, EARLY);
  await store.turns.renewLease(writer);
  await store.turns.interrupt({ sessionId: session, head: null, replyId: message.replyId });
  expect(await store.messageRow(message.replyId)).toMatchObject(tokens(EARLY));
});

test.each(['completed', 'failed'])('a renewal after a call has %s opens it no more', async (outcome) => {
  const { session, message, writer } = await answering();
  await store.turns.appendText(writer, 'Said', { told: EARLY });
  if (outcome === 'completed') await store.turns.complete(writer, '', replyOf('Said', WHOLE));
  else await store.turns.failStep(writer, failureOf({ usage: WHOLE }));
  await store.turns.renewLease(writer, EARLY);
  if (outcome === 'failed') await store.open(message, null);
  await late(writer);
  expect(await lines(session)).toMatchObject([{ outcome, ...tokens(WHOLE) }]);
  expect(await store.sessionRow(session)).toMatchObject({ open_call: null });
  await expectSums(session);
});

test('a session that was deleted meanwhile still has its bill', async () => {
  const { session, writer } = await answering();
  await store.turns.appendText(writer, 'Half', { told: EARLY });
  await store.sessions.delete(store.caller, session);
  await late(writer);
  expect(await lines(session)).toMatchObject([{ outcome: 'interrupted', ...tokens(WHOLE) }]);
  await expectSums(session);
});

test('a call that has failed counts as a failure, a superseded one does not', async () => {
  const { message, writer } = await answering();
  await store.turns.appendText(writer, 'Half', { told: EARLY });
  const second = writerOf(await store.open(message, null));
  expect(await store.turns.failStep(second, failureOf())).toEqual({ final: false, failures: 1 });
});

test('a failed attempt whose commit was not acknowledged counts once', async () => {
  const { session, writer } = await answering();
  const first = await store.turns.failStep(writer, failureOf());
  expect(first).toEqual({ final: false, failures: 1 });
  expect(await store.turns.failStep(writer, failureOf())).toEqual(first);
  expect(await lines(session)).toHaveLength(1);
});
