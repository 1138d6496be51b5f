// Acceptance tests 17 and 18: a request that is repeated with its key has one effect, whatever became of the first try.
import Database from 'better-sqlite3';
import { type Answer, type ApiClient, createApiClient, eventually } from '../support/api-client.ts';
import { databaseFileIn } from '../support/files.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let server: TestSystem;
beforeAll(async () => {
  server = await startTestSystem();
});
afterAll(() => server.stop());

const isReplay = ({ headers }: Answer): boolean => headers.get('idempotent-replayed') === 'true';
const modelCallsFor = (content: string): number =>
  server.simulator.calls.filter(({ text }) => text.includes(content)).length;

/** An account of its own, so that its only admin key and its lists are nobody else's. */
const newAccount = (name: string): Promise<ApiClient> => server.as(name, 'admin');

const HOOK = { url: 'https://example.com/hook', events: ['*'] };
const TOOL = { name: 'look_up', description: 'Looks something up', parameters: { type: 'object' } };

/** One request of each write that the API documents: where it goes, and what must be true of its answer. */
const WRITES: Record<string, (api: ApiClient) => Promise<{ path: string; body?: object }>> = {
  'post /v1/sessions': async () => ({ path: '/v1/sessions', body: { model: 'claude-haiku' } }),
  'patch /v1/sessions/{sessionId}': async (api) => ({
    path: `/v1/sessions/${(await api.session()).id}`,
    body: { metadata: { a: '1' } },
  }),
  'delete /v1/sessions/{sessionId}': async (api) => ({ path: `/v1/sessions/${(await api.session()).id}` }),
  'post /v1/sessions/{sessionId}/complete': async (api) => ({
    path: `/v1/sessions/${(await api.session()).id}/complete`,
  }),
  'post /v1/sessions/{sessionId}/archive': async (api) => ({
    path: `/v1/sessions/${(await api.session()).id}/archive`,
  }),
  'post /v1/sessions/{sessionId}/interrupt': async (api) => ({
    path: `/v1/sessions/${(await api.session()).id}/interrupt`,
  }),
  'post /v1/sessions/{sessionId}/messages': async (api) => ({
    path: `/v1/sessions/${(await api.session()).id}/messages`,
    body: { content: 'Hello' },
  }),
  'post /v1/sessions/{sessionId}/tools': async (api) => ({
    path: `/v1/sessions/${(await api.session()).id}/tools`,
    body: TOOL,
  }),
  'delete /v1/sessions/{sessionId}/tools/{name}': async (api) => ({
    path: `/v1/sessions/${(await api.session({ tools: [TOOL] })).id}/tools/${TOOL.name}`,
  }),
  'post /v1/sessions/{sessionId}/tool-results': async (api) => {
    const session = await api.session({ tools: [TOOL] });
    const { tool_calls } = await api.send(session.id, `[[rounds=1]] use tool ${TOOL.name}`);
    // Whoever waits for the end is told the same before and after a restart.
    const body = { tool_call_id: tool_calls[0].id, result: 'once', wait: true };
    return { path: `/v1/sessions/${session.id}/tool-results`, body };
  },
  'post /v1/webhooks': async () => ({ path: '/v1/webhooks', body: HOOK }),
  'patch /v1/webhooks/{webhookId}': async (api) => ({
    path: `/v1/webhooks/${(await api.post('/v1/webhooks', HOOK)).body.id}`,
    body: { description: 'changed' },
  }),
  'delete /v1/webhooks/{webhookId}': async (api) => ({
    path: `/v1/webhooks/${(await api.post('/v1/webhooks', HOOK)).body.id}`,
  }),
  'post /v1/webhooks/{webhookId}/rotate-secret': async (api) => ({
    path: `/v1/webhooks/${(await api.post('/v1/webhooks', HOOK)).body.id}/rotate-secret`,
    body: {},
  }),
  'post /v1/webhooks/{webhookId}/test': async (api) => ({
    path: `/v1/webhooks/${(await api.post('/v1/webhooks', HOOK)).body.id}/test`,
    body: {},
  }),
  'post /v1/webhooks/{webhookId}/replay': async (api) => ({
    path: `/v1/webhooks/${(await api.post('/v1/webhooks', HOOK)).body.id}/replay`,
    body: { from: '2026-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' },
  }),
  'post /v1/deliveries/{deliveryId}/redeliver': async (api) => {
    const hook = await api.post('/v1/webhooks', HOOK);
    await api.session();
    const { body } = await api.get(`/v1/webhooks/${hook.body.id}/deliveries`);
    return { path: `/v1/deliveries/${body.data[0].id}/redeliver` };
  },
  'post /v1/client-tokens': async (api) => ({
    path: '/v1/client-tokens',
    body: { session_ids: [(await api.session()).id], scopes: ['read'] },
  }),
  'post /v1/api-keys': async () => ({ path: '/v1/api-keys', body: { name: 'ci', level: 'standard' } }),
  'delete /v1/api-keys/{keyId}': async (api) => ({
    path: `/v1/api-keys/${(await api.post('/v1/api-keys', { name: 'ci', level: 'standard' })).body.id}`,
  }),
};

/** Leaves of each key what the version before stores. */
function removeResults(): void {
  const database = new Database(databaseFileIn(server.directory));
  const { changes } = database.prepare('update idempotency_keys set result = null').run();
  database.close();
  if (changes === 0) throw new Error('No key has a result');
}

interface Done {
  write: string;
  first: Answer;
  send(body?: object): Promise<Answer>;
}

async function expectSameAgain({ write, first, send }: Done): Promise<void> {
  const again = await send();
  // What gives access is shown once, in the answer that has made it.
  const secrets = ['key', 'token', 'secret'].filter((name) => name in first.body);
  const shown = { ...first.body, ...Object.fromEntries(secrets.map((name) => [name, null])) };
  expect([write, isReplay(first), isReplay(again)]).toEqual([write, false, true]);
  // A delivery goes on being tried between the two.
  const same = write.endsWith('/redeliver') ? expect.objectContaining({ id: shown.id }) : shown;
  expect([write, again.status, again.body]).toEqual([write, first.status, same]);
}

describe('every write', () => {
  test('that documents the header is among those tried here', async () => {
    const { paths } = (await server.api.get('/openapi.json')).body;
    const documented = Object.entries<Record<string, { parameters?: { name: string }[] }>>(paths).flatMap(
      ([path, methods]) =>
        Object.entries(methods)
          .filter(([, { parameters }]) => parameters?.some(({ name }) => name === 'Idempotency-Key'))
          .map(([method]) => `${method} ${path}`),
    );
    expect(documented.sort()).toEqual(Object.keys(WRITES).sort());
  });

  test('gives a retry the same answer, also after a restart and from keys of the version before, and another body 422', async () => {
    const api = await newAccount('every write');
    const done: Done[] = [];
    for (const [write, prepare] of Object.entries(WRITES)) {
      const { path, body } = await prepare(api);
      const method = write.split(' ')[0]!.toUpperCase();
      const send = (changed = body) => api.call(method, path, changed, { 'Idempotency-Key': 'again' });
      done.push({ write, send, first: await send() });
    }
    await server.restart();
    for (const each of done) await expectSameAgain(each);
    await server.restart(removeResults);
    for (const each of done) await expectSameAgain(each);
    for (const { write, send } of done) {
      if (!/\/(complete|archive|interrupt|redeliver)$/.test(write)) continue;
      // These take no body at all, so that there is no other one.
      expect([write, (await send({ x: 1 })).status]).toEqual([write, 400]);
    }
    const reused = await api.post(
      '/v1/sessions',
      { model: 'claude-opus-4-8' },
      { 'Idempotency-Key': 'again' },
    );
    expect([reused.status, reused.body.error.code]).toEqual([422, 'idempotency_key_reused']);
    expect(isReplay(reused)).toBe(false);
  });
});

test('50 POSTs at once with one key make one message, one model call and 50 equal answers', async () => {
  const session = await server.api.session();
  const path = `/v1/sessions/${session.id}/messages`;
  const send = (content: string) => server.api.post(path, { content }, { 'Idempotency-Key': 'fifty' });
  const answers = await Promise.all(Array.from({ length: 50 }, () => send('only once')));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
  expect(answers.filter(isReplay)).toHaveLength(49);
  expect(modelCallsFor('only once')).toBe(1);
  expect((await server.api.get(`/v1/sessions/${session.id}`)).body.message_count).toBe(2);

  const other = await send('something else');
  expect([other.status, other.body.error.code]).toEqual([422, 'idempotency_key_reused']);

  await server.restart();
  const late = await send('only once');
  expect([late.status, isReplay(late), late.body]).toEqual([200, true, answers[0]?.body]);
  expect(modelCallsFor('only once')).toBe(1);
});

test('50 new sessions at once with one key are one session; the same key of another account is another', async () => {
  const create = (api: ApiClient) =>
    api.post('/v1/sessions', { model: 'claude-haiku' }, { 'Idempotency-Key': 'one session' });
  const answers = await Promise.all(Array.from({ length: 50 }, () => create(server.api)));
  expect(new Set(answers.map(({ status, body }) => `${status} ${body.id}`)).size).toBe(1);
  const theirs = await create(await newAccount('neighbour'));
  expect([theirs.status, isReplay(theirs)]).toEqual([201, false]);
  expect(theirs.body.id).not.toBe(answers[0]?.body.id);
});

describe('a client that drops', () => {
  const TURN_MS = 400;
  const POINTS = 20;

  /** Sends, and is gone at that moment. */
  async function drop(path: string, body: object, key: string, afterMs: number): Promise<void> {
    const signal = AbortSignal.timeout(Math.round(afterMs));
    const headers = {
      Authorization: `Bearer ${server.adminKey}`,
      'Content-Type': 'application/json',
      'Idempotency-Key': key,
    };
    const sent = fetch(server.url + path, { method: 'POST', headers, body: JSON.stringify(body), signal });
    await sent.then((answer) => answer.text()).catch(() => undefined);
  }

  test(`at ${POINTS} random points of its waiting call, and asks again, has said it once`, async () => {
    const dropAt = async (index: number) => {
      const session = await server.api.session();
      const path = `/v1/sessions/${session.id}/messages`;
      const body = { content: `drop ${index}. [[tokens=20 token_ms=${TURN_MS / 20}]]` };
      await drop(path, body, 'dropped', (Math.random() + index) * (TURN_MS / POINTS));
      const answer = await server.api.post(path, body, { 'Idempotency-Key': 'dropped' });
      expect([answer.status, answer.body.status]).toEqual([200, 'completed']);
      const { data } = (await server.api.get(path)).body;
      expect(data.map(({ role }: any) => role)).toEqual(['user', 'assistant']);
      expect(data[1]).toEqual(answer.body);
      expect(modelCallsFor(`drop ${index}.`)).toBe(1);
      return isReplay(answer);
    };
    const replayed = await Promise.all(Array.from({ length: POINTS }, (_, index) => dropAt(index)));
    // Otherwise every drop came before the request: then nothing was shown.
    expect(replayed.filter(Boolean).length).toBeGreaterThan(POINTS / 4);
  });

  test('out of a stream reads it from its first event again', async () => {
    const session = await server.api.session();
    const key = { 'Idempotency-Key': 'streamed' };
    const content = 'speak [[tokens=30 token_ms=10]]';
    const seen: (number | null)[] = [];
    for await (const { id } of server.api.stream(session.id, content, {}, key)) {
      seen.push(id);
      if (seen.length === 5) break;
    }
    const again: (number | null)[] = [];
    for await (const { id } of server.api.stream(session.id, content, {}, key)) again.push(id);
    expect(again.length).toBeGreaterThan(seen.length);
    expect(again.slice(0, seen.length)).toEqual(seen);
    expect(modelCallsFor('speak')).toBe(1);
  });
});

test('an interrupt that is repeated after its turn leaves the next turn alone', async () => {
  const { id } = await server.api.session();
  const path = `/v1/sessions/${id}`;
  const message = (messageId: string, satisfied: (found: any) => boolean) =>
    eventually(async () => (await server.api.get(`${path}/messages/${messageId}`)).body, satisfied);
  const begin = async (content: string) => {
    const sent = await server.api.send(id, content, { background: true });
    await message(sent.id, ({ status }) => status === 'in_progress');
    return sent.id as string;
  };
  const interrupt = () => server.api.post(`${path}/interrupt`, {}, { 'Idempotency-Key': 'stop' });
  const first = await begin('first [[delay_ms=20000]]');
  const stopped = await interrupt();
  expect(stopped.body.message).toMatchObject({ id: first, status: 'interrupted' });
  const second = await begin('second [[tokens=40 token_ms=10]]');
  const again = await interrupt();
  expect([again.status, isReplay(again), again.body]).toEqual([200, true, stopped.body]);
  await message(second, ({ status }) => status === 'completed');
});

test('a wrong key is no key: what it asks for is refused before its Idempotency-Key is looked at', async () => {
  const headers = { 'Idempotency-Key': 'again' };
  const stranger = createApiClient(server.url, 'oclaw_live_000000000000000000000000000000000000');
  expect((await stranger.post('/v1/sessions', { model: 'claude-haiku' }, headers)).status).toBe(401);
  const reader = await server.as('every write', 'read-only');
  expect((await reader.post('/v1/sessions', { model: 'claude-haiku' }, headers)).status).toBe(403);
});
