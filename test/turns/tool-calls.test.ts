// Calls of tools in the store, from the step that makes them to their results: in time, at its very end, and too late.
import type { PageRequest, Slice } from '../../src/services/ports.ts';
import { NO_LEASE } from '../../src/stores/schema.ts';
import type { PreparedCall } from '../../src/turns/tool-calls.ts';
import { openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
let clockMs = Date.parse('2026-03-01T12:00:00Z');
beforeAll(async () => {
  store = await openTestStore({ now: () => clockMs });
});
afterAll(() => store.close());

const ATTEMPT = { worker: 'other', runId: 'run', activityId: '1', attempt: 1 };

const custom = (name: string, fields: Partial<PreparedCall> = {}): PreparedCall => ({
  providerId: `toolu_${name}`,
  name,
  type: 'custom',
  parameters: {},
  refusal: null,
  timeoutSeconds: null,
  onTimeout: 'error',
  ...fields,
});
const CALCULATOR = custom('calculator', { type: 'builtin' });

/** A turn whose first step has made these calls. */
async function called(...calls: PreparedCall[]) {
  const sessionId = await store.createSession();
  const { replyId, userMessageId: messageId } = await store.send(sessionId);
  const begun = await store.turns.begin({ sessionId, head: null, messageId, step: 1, attempt: ATTEMPT });
  if (begun.kind !== 'open') throw new Error(`Not opened but ${begun.kind}`);
  await store.turns.complete(writerOf(begun), '', replyOf(''), calls);
  const ids = (await store.rows.toolCalls([replyId])).map(({ id }) => id);
  const expire = (nowMs: number) => store.turns.expireCalls({ sessionId, head: null, replyId }, nowMs);
  const submit = (id = '') =>
    store.services.toolCalls.submit(store.caller, sessionId, { tool_call_id: id, result: 'found' }, null);
  return { sessionId, replyId, ids, expire, submit };
}

type Called = Awaited<ReturnType<typeof called>>;

const statusesOf = async ({ replyId }: Called) =>
  (await store.rows.toolCalls([replyId])).map(({ status }) => status);

/** Of each announcement, the calls that it asks the client for. */
const announced = async ({ sessionId }: Called) =>
  (await store.events(sessionId))
    .filter(({ type }) => type === 'message.requires_action')
    .map(({ data }) => (data.message as { waiting_for: string[] }).waiting_for);

test('a step whose commit was not acknowledged is written once, and its repeat has the same calls', async () => {
  const sessionId = await store.createSession();
  const { replyId, userMessageId: messageId } = await store.send(sessionId);
  const begun = await store.turns.begin({ sessionId, head: null, messageId, step: 1, attempt: ATTEMPT });
  if (begun.kind !== 'open') throw new Error(`Not opened but ${begun.kind}`);
  const writer = writerOf(begun);
  const write = () => store.turns.complete(writer, 'Well.', replyOf('Well.'), [custom('slow'), CALCULATOR]);
  const first = await write();
  const before = await store.events(sessionId);
  expect(await write()).toMatchObject({ goesOn: true, reply: first?.reply, open: first?.open });
  expect(await store.events(sessionId)).toEqual(before);
  expect(await store.rows.toolCalls([replyId])).toHaveLength(2);
});

describe('a turn that waits', () => {
  test('holds no lease: nobody writes, and no attempt may be missed', async () => {
    const { sessionId } = await called(custom('slow'));
    expect(await store.sessionRow(sessionId)).toMatchObject(NO_LEASE);
  });

  test('asks the client only while its own results are missing, not for those of the server', async () => {
    const turn = await called(custom('slow'), CALCULATOR);
    expect(await store.messageRow(turn.replyId)).toMatchObject({ status: 'requires_action' });
    await turn.submit(turn.ids[0]);
    expect(await store.messageRow(turn.replyId)).toMatchObject({ status: 'in_progress' });
    expect(await statusesOf(turn)).toEqual(['completed', 'running']);
    expect(await announced(turn)).toEqual([[turn.ids[0]]]);
  });

  test('is rebuilt at its step with what is missing, and at the next one when nothing is', async () => {
    const turn = await called(custom('slow', { timeoutSeconds: 60 }), custom('other'));
    await turn.submit(turn.ids[1]);
    const open = async () => (await store.turns.snapshot(turn.sessionId, true))?.open;
    const missing = { callId: turn.ids[0], name: 'slow', expiresAtMs: clockMs + 60_000 };
    expect(await open()).toMatchObject({ step: 1, calls: [missing] });
    await turn.submit(turn.ids[0]);
    expect(await open()).toMatchObject({ step: 2 });
    expect(await open()).not.toHaveProperty('calls');
  });
});

describe('the time of a call', () => {
  test('is over at its very end and not before; what still has time is asked for again', async () => {
    const turn = await called(
      custom('quick', { timeoutSeconds: 60 }),
      custom('slow', { timeoutSeconds: 120 }),
      custom('patient'),
    );
    const [quick, slow, patient] = turn.ids;
    expect((await turn.expire(clockMs + 59_999))?.open.map(({ id }) => id)).toEqual(turn.ids);
    expect(await announced(turn)).toEqual([[quick, slow, patient]]);
    expect((await turn.expire(clockMs + 60_000))?.open.map(({ id }) => id)).toEqual([slow, patient]);
    expect(await statusesOf(turn)).toEqual(['timed_out', 'awaiting_result', 'awaiting_result']);
    expect(await announced(turn)).toEqual([
      [quick, slow, patient],
      [slow, patient],
    ]);
    await expect(turn.submit(quick)).rejects.toMatchObject({ code: 'tool_call_closed' });
  });

  test('fails the reply when one of those that are over says so, and the rest is not wanted any more', async () => {
    const turn = await called(
      custom('told', { timeoutSeconds: 60 }),
      custom('fatal', { timeoutSeconds: 60, onTimeout: 'fail' }),
      custom('patient', { onTimeout: 'fail' }),
    );
    const expired = await turn.expire(clockMs + 60_000);
    expect(expired).toMatchObject({ reply: { status: 'failed' }, open: [] });
    expect(JSON.parse(expired?.reply.error ?? '')).toMatchObject({
      code: 'tool_timed_out',
      message: "The tool 'fatal' had no result within 60 seconds",
    });
    expect(await statusesOf(turn)).toEqual(['timed_out', 'timed_out', 'cancelled']);
  });

  test('comes too late for a reply that has ended', async () => {
    const turn = await called(custom('quick', { timeoutSeconds: 60, onTimeout: 'fail' }));
    const { sessionId, replyId } = turn;
    await store.turns.interrupt({ sessionId, head: null, replyId });
    const before = await store.events(sessionId);
    expect(await turn.expire(clockMs + 60_000)).toMatchObject({ reply: { status: 'interrupted' }, open: [] });
    expect(await store.events(sessionId)).toEqual(before);
  });
});

test('a result of the client that comes at the same time as the end of its time is kept, or refused, never both', async () => {
  const turn = await called(custom('quick', { timeoutSeconds: 60 }));
  clockMs += 60_000;
  const [submitted] = await Promise.allSettled([turn.submit(turn.ids[0]), turn.expire(clockMs)]);
  const kept = submitted.status === 'fulfilled' ? 'completed' : 'timed_out';
  expect(await statusesOf(turn)).toEqual([kept]);
  const types = await store.story(turn.sessionId, turn.replyId);
  expect(types.filter((type) => type === 'tool.completed')).toHaveLength(1);
});

describe('results that are long', () => {
  let conversation: Awaited<ReturnType<typeof called>>;
  let waiting: string;
  beforeAll(async () => {
    conversation = await called(custom('weather'), custom('maps'));
    const { sessionId, ids } = conversation;
    const result = 'x'.repeat(2.5 * 1024 * 1024);
    for (const tool_call_id of ids)
      await store.services.toolCalls.submit(store.caller, sessionId, { tool_call_id, result }, null);
    waiting = (await store.send(sessionId, 'Are you there?')).userMessageId;
  });

  type List = (page: PageRequest) => Promise<Slice<{ id: string }>>;

  async function pagesOf(list: List, order: 'asc' | 'desc'): Promise<string[][]> {
    const pages: string[][] = [];
    let after: PageRequest['after'] = null;
    do {
      const page: Slice<{ id: string }> = await list({ limit: 100, order, after });
      pages.push(page.data.map(({ id }) => id));
      after = page.next;
    } while (after !== null);
    return pages;
  }

  test('make the pages of messages short, in both orders', async () => {
    const { sessionId, replyId } = conversation;
    const list: List = (page) => store.messages.list(store.caller, sessionId, page);
    const [question = ''] = (await pagesOf(list, 'asc')).flat();
    expect(await pagesOf(list, 'asc')).toEqual([[question], [replyId], [waiting]]);
    expect(await pagesOf(list, 'desc')).toEqual([[waiting], [replyId], [question]]);
  });

  test('make the pages of calls short, in both orders', async () => {
    const { sessionId, ids } = conversation;
    const list: List = (page) => store.services.toolCalls.list(store.caller, { sessionId }, page);
    const pages = await pagesOf(list, 'asc');
    expect(new Set(pages)).toEqual(new Set(ids.map((id) => [id])));
    expect(await pagesOf(list, 'desc')).toEqual(pages.toReversed());
  });
});
