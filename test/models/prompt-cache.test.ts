// What a long tool loop costs: each request reads from the provider's cache all that the one before has sent.
import { createAnthropicModel } from '../../src/models/anthropic.ts';
import type { ModelBlock, ModelMessage, ModelRequest } from '../../src/models/port.ts';
import { signatureOf } from '../../src/models/simulator/signature.ts';
import { type Simulator, startSimulator } from '../../src/models/simulator.ts';
import { API_KEY, collect, requestOf } from './support.ts';

let simulator: Simulator;
let model: ReturnType<typeof createAnthropicModel>;

beforeAll(async () => {
  simulator = await startSimulator({ tokenMs: 0 });
  model = createAnthropicModel({ apiKey: API_KEY, baseUrl: simulator.url });
});

afterAll(async () => {
  await model.close();
  await simulator.close();
});

const tools = [{ name: 'orders', description: 'Finds orders', inputSchema: { type: 'object' } }];
const words = (text: string): ModelBlock => ({ type: 'text', text });
const user = (text: string): ModelMessage => ({ role: 'user', content: [words(text)] });
const assistant = (text: string): ModelMessage => ({ role: 'assistant', content: [words(text)] });

/** A step that makes so many calls at once, and their results. */
function step(name: string, count: number, before: ModelBlock[] = []): ModelMessage[] {
  const ids = Array.from({ length: count }, (_, index) => `call_${name}${index}`);
  const calls = ids.map((id) => ({ type: 'tool_use', id, name: 'orders', input: { id } }));
  const results = ids.map((id) => ({
    type: 'tool_result',
    tool_use_id: id,
    content: `order ${id} is on its way`,
  }));
  return [
    { role: 'assistant', content: [...before, ...calls] },
    { role: 'user', content: results },
  ];
}

/** @returns input tokens of each request, which are asked one after the other: those read from the cache, and all. */
async function costsOf(requests: ModelRequest[]): Promise<{ read: number; all: number }[]> {
  const costs: { read: number; all: number }[] = [];
  for (const request of requests) {
    const { usage } = (await collect(model, request)).reply;
    const read = usage.cacheReadInputTokens;
    costs.push({ read, all: usage.inputTokens + usage.cacheCreationInputTokens + read });
  }
  return costs;
}

const requestsOf = (histories: ModelMessage[][], more: Partial<ModelRequest> = {}): ModelRequest[] =>
  histories.map((messages) => requestOf('', { messages, tools, system: 'word '.repeat(1_000), ...more }));

test.each([1, 25, 64])('%d parallel calls in a step leave nothing to be paid twice', async (count) => {
  const first = [user(`find them, ${count} at once`)];
  const second = [...first, ...step(`a${count}_`, count)];
  const third = [...second, ...step(`b${count}_`, count)];
  const nextTurn = [...third, assistant('All are on their way.'), user('Thank you')];
  const costs = await costsOf(requestsOf([first, second, third, nextTurn]));
  expect(costs[0]?.all).toBeGreaterThan(1_000);
  expect(costs.slice(1).map(({ read }) => read)).toEqual(costs.slice(0, -1).map(({ all }) => all));
});

test('a turn after thoughts reads what came before these', async () => {
  const thought = (thinking: string) => ({ type: 'thinking', thinking, signature: signatureOf(thinking) });
  const before = [user('Hello, I think '), assistant('Hello.'), user('find them')];
  const thinking = { type: 'adaptive' };
  const own = [...before, ...step('t', 25, [thought('Many orders.')])];
  // The next turn leaves the thoughts out.
  const next = [...before, ...step('t', 25), assistant('All are on their way.'), user('Thank you')];
  const [asked, , after] = await costsOf(requestsOf([before, own, next], { thinking }));
  expect(after?.read).toBe(asked?.all);
});
