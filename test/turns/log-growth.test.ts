// How the log of a turn grows: an event holds what is new, so twice the work takes twice the bytes.
import { eventBody, webhookBody } from '../../src/contracts/event-body.ts';
import type { SessionEvent } from '../../src/contracts/events.ts';
import { toFrame } from '../../src/http/streams/frame.ts';
import type { PreparedCall } from '../../src/turns/tool-calls.ts';
import { openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

interface Work {
  steps: number;
  callsPerStep: number;
  /** UTF-16 units of each. */
  text?: number;
  input?: number;
  result?: number;
  /** Submits the results of a step in one request. */
  together?: boolean;
}

const call = (name: string, input: number): PreparedCall => ({
  providerId: `toolu_${name}`,
  name: 'look_up',
  type: 'custom',
  parameters: { key: 'k'.repeat(input) },
  refusal: null,
  timeoutSeconds: null,
  onTimeout: 'error',
});

/** A turn of so many steps, and a last step without calls. */
async function work({ steps, callsPerStep, text = 0, input = 0, result = 0, together = false }: Work) {
  const sessionId = await store.createSession();
  const { replyId, userMessageId: messageId } = await store.send(sessionId);
  for (let step = 1; step <= steps + 1; step += 1) {
    const begun = await store.turns.begin({ sessionId, head: null, messageId, step });
    if (begun.kind !== 'open') throw new Error(`Not opened but ${begun.kind}`);
    const count = step <= steps ? callsPerStep : 0;
    const calls = Array.from({ length: count }, (_, index) => call(`${step}_${index}`, input));
    const said = 't'.repeat(text);
    await store.turns.complete(writerOf(begun), said, replyOf(said), calls);
    const results = (await store.rows.openToolCalls(replyId)).map(({ id }) => ({
      tool_call_id: id,
      result: 'r'.repeat(result),
    }));
    const bodies = together && results.length > 0 ? [{ results }] : results;
    for (const body of bodies) await store.services.toolCalls.submit(store.caller, sessionId, body, null);
  }
  return { replyId, sessionId, events: await store.events(sessionId) };
}

const bytesOf = (events: SessionEvent[]): number =>
  events.reduce((sum, event) => sum + JSON.stringify(event.data).length, 0);

const bytesOfWork = async (of: Work): Promise<number> => bytesOf((await work(of)).events);

describe('twice the work takes twice the bytes', () => {
  const KB = 1_000;
  it.each<[string, Work, Work]>([
    [
      'results one after the other',
      { steps: 8, callsPerStep: 1, result: 50 * KB },
      { steps: 16, callsPerStep: 1, result: 50 * KB },
    ],
    [
      'results side by side',
      { steps: 1, callsPerStep: 8, result: 50 * KB },
      { steps: 1, callsPerStep: 16, result: 50 * KB },
    ],
    [
      'inputs side by side',
      { steps: 1, callsPerStep: 8, input: 50 * KB },
      { steps: 1, callsPerStep: 16, input: 50 * KB },
    ],
    [
      'inputs one after the other',
      { steps: 8, callsPerStep: 1, input: 50 * KB },
      { steps: 16, callsPerStep: 1, input: 50 * KB },
    ],
    [
      'texts one after the other',
      { steps: 8, callsPerStep: 1, text: 50 * KB },
      { steps: 16, callsPerStep: 1, text: 50 * KB },
    ],
  ])('%s', async (_name, once, twice) => {
    expect((await bytesOfWork(twice)) / (await bytesOfWork(once))).toBeLessThan(2.3);
  });

  it('results are in the log twice: when they come, and in the whole reply at its end', async () => {
    const { events } = await work({ steps: 1, callsPerStep: 20, result: 100 * KB });
    const holding = events
      .filter(({ data }) => JSON.stringify(data).length > 50 * KB)
      .map(({ type }) => type);
    expect(holding).toEqual([...Array(20).fill('tool.completed'), 'message.completed']);
    expect(bytesOf(events)).toBeLessThan(4_400 * KB);
  });
});

describe('what the client is asked for', () => {
  const asking = ({ events }: { events: SessionEvent[] }) =>
    events.filter(({ type }) => type === 'message.requires_action').map((event) => eventBody(event) as any);

  it('comes without the results that an earlier event told, and says where they are', async () => {
    const turn = await work({ steps: 2, callsPerStep: 2, text: 10, result: 10 });
    const [first, partial, next] = asking(turn);
    expect(first).not.toHaveProperty('url');
    expect(first.message.tool_calls).toMatchObject([
      { status: 'awaiting_result', result: null },
      { status: 'awaiting_result', result: null },
    ]);
    for (const event of [partial, next])
      expect(event).toMatchObject({
        truncated: true,
        url: `/v1/sessions/${turn.sessionId}/messages/${turn.replyId}`,
      });
    expect(partial.message.tool_calls).toMatchObject([
      { status: 'completed', result: null, parameters: { key: '' } },
      { status: 'awaiting_result', result: null, parameters: { key: '' } },
    ]);
    expect(next.message.content).toBe(`${'t'.repeat(10)}\n\n${'t'.repeat(10)}`);
    expect(next.message.tool_calls).toHaveLength(4);
    expect(next.message.waiting_for).toHaveLength(2);
  });

  it('has the new inputs whole, however long, and the long ones of before once only', async () => {
    const [first, partial, next] = asking(await work({ steps: 2, callsPerStep: 2, input: 40_000 }));
    const inputs = (event: any) => event.message.tool_calls.map(({ parameters }: any) => parameters !== null);
    expect(inputs(first)).toEqual([true, true]);
    expect(inputs(partial)).toEqual([false, false]);
    expect(inputs(next)).toEqual([false, false, true, true]);
    expect(partial.message.waiting_for).toHaveLength(1);
  });

  it('leaves out calls that have been answered when there are very many', async () => {
    const events = asking(await work({ steps: 10, callsPerStep: 20, together: true }));
    const counts = events.map(({ message }) => message.tool_calls.length);
    expect(counts.slice(0, 3)).toEqual([20, 40, 60]);
    expect(counts.at(-1)).toBe(20);
    expect(Math.max(...events.map((event) => JSON.stringify(event).length))).toBeLessThan(80_000);
  });

  it('fits a webhook and a frame, which say the same', async () => {
    const turn = await work({ steps: 2, callsPerStep: 2, result: 10 });
    const partial = turn.events.filter(({ type }) => type === 'message.requires_action')[1] as SessionEvent;
    const body = eventBody(partial);
    expect(JSON.parse(webhookBody(partial))).toEqual(body);
    expect(JSON.parse(toFrame(partial, 'log').split('data: ')[1] ?? '')).toEqual(body);
  });
});
