// Settings that the provider refuses in every request are refused where they are set, over HTTP.
import type { Model, ModelRequest } from '../../src/models/port.ts';
import { eventually } from '../support/api-client.ts';
import { replyOf } from '../support/store.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let server: TestSystem;

beforeAll(async () => {
  server = await startTestSystem({ idle: true });
});

afterAll(() => server.stop());

const enabled = (budget_tokens: unknown) => ({ type: 'enabled', budget_tokens });
/** A model that takes a temperature. */
const MODEL = 'claude-sonnet-4-6';

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
  [{ thinking: { type: 'always', budget_tokens: 2_000 } }, 'thinking.type', 'enabled'],
  [{ thinking: { budget_tokens: 2_000 } }, 'thinking.type', 'required'],
  [{ thinking: enabled(2_000), temperature: 0.5, model: 'claude-haiku' }, 'temperature', "'thinking'"],
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

describe('a change of a session is judged on the whole that results', () => {
  it.each<[object, object, string, string]>([
    [{ thinking: enabled(40_000), max_tokens: 50_000 }, { max_tokens: null }, 'thinking', '40000'],
    [{ thinking: enabled(2_000), max_tokens: 3_000 }, { max_tokens: 2_000 }, 'max_tokens', '2000'],
    [
      { model: 'claude-haiku', thinking: enabled(100_000), max_tokens: 120_000 },
      { model: 'claude-sonnet-4-5', max_tokens: 64_000 },
      'max_tokens',
      '100000',
    ],
    [
      { model: 'claude-haiku', thinking: enabled(70_000), max_tokens: 100_000 },
      { model: 'claude-sonnet-4-5' },
      'max_tokens',
      '64000',
    ],
  ])('%j with %j is refused', async (settings, change, param, words) => {
    const { body: session } = await server.api.post('/v1/sessions', { model: MODEL, ...settings });
    const path = `/v1/sessions/${session.id}`;
    const { status, body } = await server.api.patch(path, change);
    expect(status).toBe(400);
    expect(body.error.param).toContain(param);
    expect(body.error.message).toContain(words);
    const { body: kept } = await server.api.get(path);
    expect(kept).toMatchObject({ model: session.model, max_tokens: session.max_tokens });
    expect((await server.api.patch(path, { metadata: { key: 'value' } })).status).toBe(200);
  });

  it('one that repairs both at once is taken', async () => {
    const settings = { model: 'claude-haiku', thinking: enabled(70_000), max_tokens: 100_000 };
    const { body: session } = await server.api.post('/v1/sessions', settings);
    const repair = { model: 'claude-sonnet-4-5', max_tokens: null, thinking: enabled(30_000) };
    expect((await server.api.patch(`/v1/sessions/${session.id}`, repair)).status).toBe(200);
  });
});

describe('a message that waits while its session changes', () => {
  const asked: ModelRequest[] = [];
  let goOn: () => void = () => {};
  const model: Model = {
    async stream(request) {
      asked.push(request);
      if (asked.length === 1) await new Promise<void>((resolve) => (goOn = resolve));
      return replyOf('Done.');
    },
  };
  let busy: TestSystem;
  beforeAll(async () => {
    busy = await startTestSystem({ model });
  });
  afterAll(() => busy.stop());

  it.each<[string, object, object, Partial<ModelRequest>]>([
    [
      'its budget stays below the new max_tokens',
      { thinking: enabled(4_000) },
      { max_tokens: 3_000 },
      { maxTokens: 3_000, thinking: enabled(2_999) },
    ],
    [
      'it thinks no more where max_tokens leaves no room',
      { thinking: enabled(4_000), temperature: 1 },
      { max_tokens: 1_000 },
      { maxTokens: 1_000, thinking: null, temperature: 1 },
    ],
    [
      'its temperature is left out of a turn that thinks now',
      { temperature: 0.2 },
      { thinking: enabled(2_000) },
      { thinking: enabled(2_000), temperature: null },
    ],
    [
      'its own max_tokens holds',
      { max_tokens: 1_500 },
      { thinking: enabled(8_000) },
      { maxTokens: 1_500, thinking: enabled(1_499) },
    ],
  ])('%s', async (_name, own, change, expected) => {
    asked.length = 0;
    const { id } = await busy.api.session({ model: MODEL });
    await busy.api.send(id, 'First', { background: true });
    await eventually(
      async () => asked.length,
      (count) => count === 1,
    );
    const { body } = await busy.api.post(`/v1/sessions/${id}/messages`, {
      ...{ content: 'Second', background: true },
      ...own,
    });
    expect((await busy.api.patch(`/v1/sessions/${id}`, change)).status).toBe(200);
    goOn();
    const path = `/v1/sessions/${id}/messages/${body.id}`;
    await eventually(
      () => busy.api.get(path),
      (answer) => answer.body.status === 'completed',
    );
    expect(asked[1]).toMatchObject(expected);
  });
});
