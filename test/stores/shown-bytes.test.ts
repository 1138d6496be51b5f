// What answers hold: every view of messages and calls within 4 MiB, and no less than fits.
import { stringifyJson } from '../../src/contracts/json.ts';
import { PAGE_BYTES_MAX } from '../../src/stores/page-bytes.ts';
import type { PreparedCall } from '../../src/turns/tool-calls.ts';
import { messageView } from '../../src/views/messages.ts';
import { type OpenStep, openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const bytesOf = (value: unknown): number => Buffer.byteLength(stringifyJson(value));

/** One byte of text, six of JSON. */
const CONTROL = '\u0001';

const call = (name: string, parameters: Record<string, unknown> = {}): PreparedCall => ({
  ...{ providerId: `toolu_${name}`, name, type: 'custom', parameters },
  ...{ refusal: null, timeoutSeconds: null, onTimeout: 'error' },
});

interface Turn {
  sessionId: string;
  messageId: string;
  replyId: string;
}

async function newTurn(): Promise<Turn> {
  const sessionId = await store.createSession();
  const { replyId, userMessageId: messageId } = await store.send(sessionId);
  return { sessionId, messageId, replyId };
}

async function begin({ sessionId, messageId }: Turn, step: number): Promise<OpenStep> {
  const begun = await store.turns.begin({ sessionId, head: null, messageId, step });
  if (begun.kind !== 'open') throw new Error(`Not opened but ${begun.kind}`);
  return begun;
}

/** A first step with this text and these calls. @returns the ids of the calls. */
async function callTools(turn: Turn, text: string, calls: PreparedCall[]): Promise<string[]> {
  await store.turns.complete(writerOf(await begin(turn, 1)), text, replyOf(text), calls);
  return (await store.rows.openToolCalls(turn.replyId)).map(({ id }) => id);
}

const submit = async (turn: Turn, ids: string[], result: string) => {
  const results = ids.map((tool_call_id) => ({ tool_call_id, result }));
  const { value } = await store.services.toolCalls.submit(store.caller, turn.sessionId, { results }, null);
  const { reply, ...answer } = value;
  return answer;
};

const readSession = (sessionId: string) =>
  store.services.sessions.get(store.caller, sessionId, { includeState: true });

describe('a reply in progress', () => {
  it('is shown in its session, however much earlier steps and withdrawn tries have streamed', async () => {
    const turn = await newTurn();
    const first = 'a'.repeat(1_100_000);
    await submit(turn, await callTools(turn, first, [call('look_up')]), 'r');
    const withdrawn = writerOf(await begin(turn, 2));
    await store.turns.appendText(withdrawn, 'b'.repeat(1_000_000));
    const second = 'c'.repeat(100_000);
    await store.turns.appendText(writerOf(await begin(turn, 2)), second);
    const session = await readSession(turn.sessionId);
    expect(session.truncated).toBe(false);
    const shown = session.messages.at(-1)?.content ?? '';
    expect([shown.length, shown.startsWith(first), shown.endsWith(second)]).toEqual([1_200_000, true, true]);
  });

  it('counts what it has streamed of its step, in the text and in the blocks', async () => {
    const turn = await newTurn();
    await store.turns.appendText(writerOf(await begin(turn, 1)), CONTROL.repeat(400_000));
    const session = await readSession(turn.sessionId);
    expect(bytesOf(session)).toBeLessThanOrEqual(PAGE_BYTES_MAX);
    expect(session).toMatchObject({ truncated: true, messages: [{ id: turn.replyId, content: null }] });
  });
});

const callsOf = (count: number, parameters = {}) =>
  Array.from({ length: count }, (_, n) => call(`${n}`, parameters));

describe('the answer to results', () => {
  it.each<[string, { text?: string; calls?: number; parameters?: object; result: string }]>([
    ['one as long as a request', { result: 'r'.repeat(4_190_000) }],
    ['one of control characters', { result: CONTROL.repeat(690_000) }],
    ['one of three-byte characters', { result: '語'.repeat(1_390_000) }],
    ['one that fits twice', { result: 'r'.repeat(1_500_000) }],
    ['a hundred', { calls: 100, result: CONTROL.repeat(6_900) }],
    ['to a reply with a long text', { text: CONTROL.repeat(700_000), result: 'r'.repeat(100_000) }],
    ['to calls with long parameters', { calls: 30, parameters: { key: '語'.repeat(50_000) }, result: 'r' }],
  ])('is bounded: %s', async (_, { text = '', calls = 1, parameters, result }) => {
    const turn = await newTurn();
    const ids = await callTools(turn, text, callsOf(calls, parameters));
    const answer = await submit(turn, ids, result);
    expect(bytesOf(answer)).toBeLessThanOrEqual(PAGE_BYTES_MAX);
    const url = `/v1/sessions/${turn.sessionId}/tool-calls`;
    expect(answer).toMatchObject({ truncated: true, url, pending: [], tool_call: { id: ids[0] } });
    expect(answer.tool_calls.map(({ id, status }) => [id, status])).toEqual(
      ids.map((id) => [id, 'completed']),
    );
    expect(answer.message).toMatchObject({ id: turn.replyId, status: 'in_progress' });
    expect(await submit(turn, ids, result)).toEqual(answer);
  });

  it('is whole when it fits', async () => {
    const turn = await newTurn();
    const [id = '', other = ''] = await callTools(turn, 'Wait', callsOf(2));
    const result = 'r'.repeat(1_000_000);
    const answer = await submit(turn, [id], result);
    expect(answer).not.toHaveProperty('truncated');
    expect(answer).toMatchObject({
      ...{ tool_call: { id, result }, tool_calls: [{ id, result }], pending: [other] },
      message: {
        content: 'Wait',
        tool_calls: [
          { id, result },
          { id: other, result: null },
        ],
      },
    });
  });
});

describe('calls with long parameters that are open', () => {
  it('are bounded in the state, in its session and in their message', async () => {
    const turn = await newTurn();
    await callTools(turn, 'Wait', callsOf(30, { key: '語'.repeat(50_000) }));
    const { services, caller } = store;
    const state = await services.sessions.state(caller, turn.sessionId);
    const url = `/v1/sessions/${turn.sessionId}/tool-calls`;
    expect(state).toMatchObject({ phase: 'waiting_tool', truncated: true, url });
    expect(state.waiting_for).toHaveLength(30);
    expect(state.waiting_for.at(-1)?.parameters).not.toBeNull();
    for (const answer of [
      state,
      await readSession(turn.sessionId),
      await services.messages.get(caller, turn.sessionId, turn.replyId),
      (await services.messages.list(caller, turn.sessionId, { order: 'desc', limit: 1, after: null })).data,
    ])
      expect(bytesOf(answer)).toBeLessThanOrEqual(PAGE_BYTES_MAX);
  });
});

it('a turn with very many calls shows its newest calls, and all that are open', async () => {
  const turn = await newTurn();
  const [id = ''] = await callTools(turn, 'Wait', callsOf(1));
  const open = await store.db
    .selectFrom('tool_calls')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  const answered = Array.from({ length: 7_000 }, (_, n) => ({
    ...{ ...open, id: `call_${n}`, status: 'completed' as const, result: '"r"' },
  }));
  const message = messageView(await store.messageRow(turn.replyId), [open, ...answered]);
  expect(bytesOf(message)).toBeLessThanOrEqual(PAGE_BYTES_MAX);
  expect(message).toMatchObject({ truncated: true, waiting_for: [id] });
  expect(message.tool_calls.length).toBeGreaterThan(5_000);
  expect([message.tool_calls.at(0)?.id, message.tool_calls.at(-1)?.id]).toEqual([id, 'call_6999']);
});

it('a message shows all of a text that is longer than an answer, and as many calls as fit beside it', async () => {
  const turn = await newTurn();
  const text = CONTROL.repeat(500_000);
  await submit(turn, await callTools(turn, text, callsOf(3)), 'r'.repeat(600_000));
  const message = await store.services.messages.get(store.caller, turn.sessionId, turn.replyId);
  expect([message.content === text, message.truncated]).toEqual([true, true]);
  expect(message.tool_calls.map(({ result }) => typeof result)).toEqual(['object', 'object', 'string']);
});
