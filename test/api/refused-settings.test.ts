// Settings that the provider refuses in every request are refused where they are set, over HTTP.
import Database from 'better-sqlite3';
import type { Model, ModelRequest } from '../../src/models/port.ts';
import { eventually } from '../support/api-client.ts';
import { databaseFileIn } from '../support/files.ts';
import { replyOf } from '../support/store.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let server: TestSystem;

beforeAll(async () => {
  server = await startTestSystem({ idle: true });
});

afterAll(() => server.stop());

const enabled = (budget_tokens: unknown) => ({ type: 'enabled', budget_tokens });
/** Settings as an earlier version took them. The server is in this process: to wait for its lock would block both. */
async function store({ directory }: TestSystem, sessionId: string, options: object): Promise<void> {
  const db = new Database(databaseFileIn(directory), { timeout: 0 });
  const write = db.prepare('update sessions set turn_options = ? where id = ?');
  await eventually(
    async () => {
      try {
        return write.run(JSON.stringify(options), sessionId).changes;
      } catch {
        return 0;
      }
    },
    (changes) => changes === 1,
  );
  db.close();
}

/** A model that takes a temperature. */
const MODEL = 'claude-sonnet-4-6';

test.each([
  [{ thinking: enabled(2_000), max_tokens: 2_000 }, 'max_tokens', 'thinking.budget_tokens'],
  [{ thinking: enabled(5_000), max_tokens: 1_500 }, 'max_tokens', 'thinking.budget_tokens'],
  [{ thinking: enabled(32_000) }, 'thinking.budget_tokens', "'max_tokens' (32000)"],
  [{ thinking: enabled(1_023) }, 'thinking.budget_tokens', '1024'],
  [{ thinking: enabled(2_000.5) }, 'thinking.budget_tokens', 'whole number'],
  [{ thinking: { type: 'enabled' } }, 'thinking.budget_tokens', 'required'],
  [{ thinking: enabled('2000') }, 'thinking.budget_tokens', 'must be a number'],
  [{ thinking: { type: 'disabled', budget_tokens: 2_000 } }, 'thinking.budget_tokens', 'Unknown field'],
  [{ thinking: { type: 'adaptive', budget_tokens: 2_000 } }, 'thinking.budget_tokens', 'Unknown field'],
  [{ thinking: { type: 'adaptive', effort: 'high' } }, 'thinking.effort', 'Unknown field'],
  [{ thinking: { type: 'enabled', budget: 2_000 } }, 'thinking.budget', "'thinking.budget_tokens'"],
  [{ thinking: { type: 'disabled', display: 'omitted' } }, 'thinking.display', 'Unknown field'],
  [{ thinking: { type: 'adaptive', display: 'all' } }, 'thinking.display', 'summarized'],
  [{ thinking: enabled(2_000), temperature: 0.5 }, 'temperature', "'thinking'"],
  [{ thinking: { type: 'adaptive' }, temperature: 0 }, 'temperature', "'thinking'"],
  [{ thinking: { type: 'always', budget_tokens: 2_000 } }, 'thinking.type', 'enabled'],
  [{ thinking: { budget_tokens: 2_000 } }, 'thinking.type', 'required'],
  [{ thinking: { type: 'adaptive' }, temperature: 0.5, model: 'claude-haiku' }, 'temperature', "'thinking'"],
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
  { thinking: { type: 'adaptive', display: 'summarized' }, max_tokens: 100 },
  { thinking: { ...enabled(1_024), display: 'omitted' } },
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
      { thinking: enabled(100_000), max_tokens: 120_000 },
      { model: 'claude-sonnet-4-5', max_tokens: 64_000 },
      'max_tokens',
      '100000',
    ],
    [
      { thinking: enabled(70_000), max_tokens: 100_000 },
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
    const settings = { model: MODEL, thinking: enabled(70_000), max_tokens: 100_000 };
    const { body: session } = await server.api.post('/v1/sessions', settings);
    const repair = { model: 'claude-sonnet-4-5', max_tokens: null, thinking: enabled(30_000) };
    expect((await server.api.patch(`/v1/sessions/${session.id}`, repair)).status).toBe(200);
  });
});

describe('a type of thinking that the model always refuses', () => {
  const PAIRS: [string, string][] = [
    ['claude-opus-4-7', 'enabled'],
    ['claude-haiku-5-5', 'enabled'],
    ['claude-opus-5-5', 'disabled'],
    ['claude-fable-5-2', 'enabled'],
    ['claude-sonnet-5-5', 'disabled'],
    ['claude-mythos-preview', 'disabled'],
    ['claude-opus-4-5', 'adaptive'],
    ['claude-sonnet-4-6', 'between_tools'],
  ];
  const thinkingOf = (type: string) => (type === 'enabled' ? enabled(2_000) : { type });

  it.each(PAIRS)("model '%s' with '%s' is refused where it is set", async (model, type) => {
    const thinking = thinkingOf(type);
    const refused = (param: string) => ({ status: 400, body: { error: { param } } });
    const created = await server.api.post('/v1/sessions', { model, thinking });
    expect(created).toMatchObject(refused('thinking.type'));
    expect(created.body.error.message).toContain(`The 'model' '${model}' takes no 'thinking.type' '${type}'`);
    const { body: session } = await server.api.post('/v1/sessions', { model });
    const path = `/v1/sessions/${session.id}`;
    const message = { content: 'Hello', background: true, thinking };
    expect(await server.api.post(`${path}/messages`, message)).toMatchObject(refused('thinking.type'));
    expect(await server.api.patch(path, { thinking })).toMatchObject(refused('thinking.type'));
    const taken = type === 'between_tools' ? 'claude-sonnet-5-5' : 'claude-sonnet-4-6';
    expect((await server.api.patch(path, { model: taken, thinking })).status).toBe(200);
    expect(await server.api.patch(path, { model })).toMatchObject(refused('model'));
    expect((await server.api.patch(path, { model, thinking: null })).status).toBe(200);
  });

  it.each([
    ['claude-sonnet-5-5', 'between_tools'],
    ['claude-haiku', 'disabled'],
    // Names that move on to newer models: `enabled` is sent to those as `adaptive`.
    ['claude-haiku', 'enabled'],
    ['claude-opus-4-20250514', 'enabled'],
    ['claude-mythos-preview', 'enabled'],
    // No source says so of these.
    ['claude-fable-5-2', 'disabled'],
  ])("model '%s' with '%s' is taken", async (model, type) => {
    const created = await server.api.post('/v1/sessions', { model, thinking: thinkingOf(type) });
    expect(created.status).toBe(201);
  });

  it('in a session that an earlier version stored, other settings may change', async () => {
    const { body: session } = await server.api.post('/v1/sessions', { model: 'claude-opus-4-7' });
    await store(server, session.id, { thinking: enabled(2_000) });
    const { status, body } = await server.api.patch(`/v1/sessions/${session.id}`, { max_tokens: 4_000 });
    expect(status).toBe(200);
    expect(body.warnings).toEqual([expect.stringContaining("takes no 'thinking' of type 'enabled'")]);
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
    [
      'its thinking is left out where the new model refuses it',
      { thinking: enabled(2_000) },
      { model: 'claude-haiku-5-5' },
      { model: 'claude-haiku-5-5', thinking: null },
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

  it.each<[string, object, object | null]>([
    [
      'claude-haiku',
      { type: 'adaptive', budget_tokens: 2_000, display: 'omitted' },
      { type: 'adaptive', display: 'omitted' },
    ],
    ['claude-sonnet-4-6', { type: 'disabled', budget_tokens: 2_000 }, { type: 'disabled' }],
    ['claude-opus-4-7', enabled(2_000), null],
  ])("a stored session of '%s' with %j goes on with %j", async (name, thinking, sent) => {
    const { id } = await busy.api.session({ model: name });
    await store(busy, id, { thinking });
    await busy.api.send(id, 'Hello');
    expect(asked.at(-1)?.thinking).toEqual(sent);
  });
});
