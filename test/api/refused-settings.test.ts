// Settings that the provider refuses in every request are refused where they are set, over HTTP.
import { startTestSystem, type TestSystem } from '../support/system.ts';

let server: TestSystem;

beforeAll(async () => {
  server = await startTestSystem({ idle: true });
});

afterAll(() => server.stop());

const enabled = (budget_tokens: unknown) => ({ type: 'enabled', budget_tokens });
const MODEL = 'claude-haiku';

test.each([
  [{ thinking: enabled(2_000), max_tokens: 2_000 }, 'max_tokens', 'thinking.budget_tokens'],
  [{ thinking: enabled(5_000), max_tokens: 1_500 }, 'max_tokens', 'thinking.budget_tokens'],
  [{ thinking: enabled(32_000) }, 'thinking.budget_tokens', "'max_tokens' (32000)"],
  [{ thinking: enabled(1_023) }, 'thinking.budget_tokens', '1024'],
  [{ thinking: enabled(2_000.5) }, 'thinking.budget_tokens', 'whole number'],
  [{ thinking: { type: 'enabled' } }, 'thinking.budget_tokens', 'whole number'],
  [{ thinking: enabled('2000') }, 'thinking.budget_tokens', 'whole number'],
  [{ thinking: enabled(2_000), temperature: 0.5 }, 'temperature', "'thinking'"],
  [{ thinking: { type: 'adaptive' }, temperature: 0 }, 'temperature', "'thinking'"],
])('a session with %j is refused', async (settings, param, words) => {
  const { status, body } = await server.api.post('/v1/sessions', { model: MODEL, ...settings });
  expect(status).toBe(400);
  expect(body.error.param).toBe(param);
  expect(body.error.message).toContain(words);
});

test.each([
  { thinking: enabled(1_024), max_tokens: 1_025 },
  { thinking: enabled(2_000), temperature: 1 },
  { thinking: { type: 'disabled' }, temperature: 0.5, max_tokens: 1 },
  { thinking: { type: 'adaptive' }, max_tokens: 100 },
])('a session with %j is taken', async (settings) => {
  const { status } = await server.api.post('/v1/sessions', { model: MODEL, ...settings });
  expect(status).toBe(201);
});

test('settings are judged together with those that hold already', async () => {
  const { body: session } = await server.api.post('/v1/sessions', { model: MODEL, thinking: enabled(4_000) });
  const path = `/v1/sessions/${session.id}`;
  const message = { content: 'Hello', background: true };
  const low = await server.api.post(`${path}/messages`, { ...message, max_tokens: 4_000 });
  expect(low).toMatchObject({ status: 400, body: { error: { param: 'max_tokens' } } });
  const warm = await server.api.patch(path, { temperature: 0.2 });
  expect(warm).toMatchObject({ status: 400, body: { error: { param: 'temperature' } } });
  const off = { ...message, thinking: { type: 'disabled' }, max_tokens: 10, temperature: 0.2 };
  expect((await server.api.post(`${path}/messages`, off)).status).toBe(202);
  expect((await server.api.patch(path, { thinking: null, temperature: 0.2 })).status).toBe(200);
  const thinks = await server.api.post(`${path}/messages`, { ...message, thinking: enabled(2_000) });
  expect(thinks).toMatchObject({ status: 400, body: { error: { param: 'thinking' } } });
});
