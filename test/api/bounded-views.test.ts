// Answers are bounded in bytes, whatever was stored: 4 MiB, counted as they are sent, with every escape.
import type { Answer } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

/** One byte of text, six of JSON. */
const CONTROL = '\u0001';
/** As long as a request body of 4 MiB allows. */
const CONTENT = CONTROL.repeat(690_000);
const QUEUED = 3;
const TEST_MS_MAX = 60_000;

let server: TestSystem;
beforeAll(async () => {
  server = await startTestSystem();
});
afterAll(() => server.stop());

const bytesOf = ({ body }: Answer): number => Buffer.byteLength(JSON.stringify(body));

function expectBounded(answer: Answer, status = 200): void {
  expect(answer.status).toBe(status);
  expect(bytesOf(answer)).toBeLessThanOrEqual(ANSWER_BYTES_MAX);
}

/** A session whose reply never ends, so that what is sent after it waits. */
async function busySession(fields = {}): Promise<string> {
  const { id } = await server.api.session(fields);
  await server.api.send(id, '[[tokens=100000 token_ms=1000]]', { background: true });
  return id;
}

describe('a session with long messages in its queue', () => {
  let path: string;
  const queued: string[] = [];
  beforeAll(async () => {
    const id = await busySession();
    path = `/v1/sessions/${id}`;
    for (let n = 0; n < QUEUED; n += 1)
      queued.push((await server.api.send(id, CONTENT, { background: true })).id);
  }, TEST_MS_MAX);

  test(
    'is read, changed and ended within the bound',
    async () => {
      expectBounded(await server.api.get(path));
      expectBounded(await server.api.get(`${path}?include=state`));
      const state = await server.api.get(`${path}/state`);
      expectBounded(state);
      expect(state.body.queue).toHaveLength(QUEUED);
      expectBounded(await server.api.patch(path, { metadata: { a: 'b' } }));
      expectBounded(await server.api.post(`${path}/interrupt`));
      expectBounded(await server.api.post(`${path}/complete`, {}, { 'Idempotency-Key': 'complete' }));
      expectBounded(await server.api.post(`${path}/complete`, {}, { 'Idempotency-Key': 'complete' }));
      expectBounded(await server.api.post(`${path}/archive`));
      const { body } = await server.api.get(path);
      expect(body).toMatchObject({ status: 'archived', truncated: true });
      for (const id of queued) {
        const { status, body } = await server.api.get(`${path}/messages/${id}`);
        expect([status, body.status]).toEqual([200, expect.stringMatching(/failed|interrupted/)]);
      }
    },
    TEST_MS_MAX,
  );
});

test('a session shows the newest messages that fit, and says that it left out older ones', async () => {
  const id = await busySession();
  const contents = Array.from({ length: 6 }, (_, n) => `${n}${'x'.repeat(500_000)}`);
  for (const content of contents) await server.api.send(id, content, { background: true });
  const { body } = await server.api.get(`/v1/sessions/${id}`);
  expect(body.truncated).toBe(true);
  const shown = body.messages.map(({ content }: { content: string }) => content);
  expect(shown).toEqual(contents.slice(-shown.length));
  expect(shown).toHaveLength(4);
});

test('a short session is shown whole', async () => {
  const { id } = await server.api.session();
  await server.api.send(id, 'Hi');
  const { body } = await server.api.get(`/v1/sessions/${id}`);
  expect(body).toMatchObject({ truncated: false, messages: [{ content: 'Hi' }, { role: 'assistant' }] });
});

test('what a first message of a new session brings is within the bound, and in a replay as well', async () => {
  const create = () =>
    server.api.post(
      '/v1/sessions',
      { model: 'claude-haiku', message: CONTENT },
      { 'Idempotency-Key': 'long first message' },
    );
  expectBounded(await create(), 201);
  const again = await create();
  expectBounded(again, 201);
  expect(again.headers.get('idempotent-replayed')).toBe('true');
});

test('an ETag changes with the session, and answers 304 for one whose messages are left out', async () => {
  const id = await busySession();
  await server.api.send(id, CONTENT, { background: true });
  const path = `/v1/sessions/${id}`;
  // Nothing but the PATCH changes an ended session.
  await server.api.post(`${path}/complete`);
  const { headers } = await server.api.get(path);
  const etag = headers.get('etag') as string;
  expect(etag).toMatch(/^W\/"/);
  expect((await server.api.get(path, { 'If-None-Match': etag })).status).toBe(304);
  await server.api.patch(path, { metadata: { a: 'b' } });
  expect((await server.api.get(path, { 'If-None-Match': etag })).status).toBe(200);
});

describe('a list of what is long', () => {
  interface Paged {
    pages: number;
    ids: string[];
  }

  async function readAll(api: TestSystem['api'], path: string): Promise<Paged> {
    const found: Paged = { pages: 0, ids: [] };
    for (let cursor = ''; ; ) {
      const answer = await api.get(`${path}?limit=100${cursor}`);
      expectBounded(answer);
      found.pages += 1;
      found.ids.push(...answer.body.data.map((each: { id?: string; name: string }) => each.id ?? each.name));
      if (!answer.body.has_more) return found;
      cursor = `&cursor=${encodeURIComponent(answer.body.next_cursor)}`;
    }
  }

  const METADATA = Object.fromEntries(
    Array.from({ length: 50 }, (_, n) => [`key ${n}`, CONTROL.repeat(512)]),
  );

  test('of sessions comes in short pages', async () => {
    const api = await server.as('metadata', 'standard');
    const ids: string[] = [];
    for (let n = 0; n < 40; n += 1) ids.unshift((await api.session({ metadata: METADATA })).id);
    const { pages, ids: listed } = await readAll(api, '/v1/sessions');
    expect(listed).toEqual(ids);
    expect(pages).toBeGreaterThan(1);
  });

  test('of webhooks as well', async () => {
    const api = await server.as('webhooks', 'standard');
    const webhook = { url: 'https://example.com/', events: ['*'], filter: { metadata: METADATA } };
    for (let n = 0; n < 40; n += 1) expect((await api.post('/v1/webhooks', webhook)).status).toBe(201);
    const { pages, ids } = await readAll(api, '/v1/webhooks');
    expect([ids.length, new Set(ids).size]).toEqual([40, 40]);
    expect(pages).toBeGreaterThan(1);
  });

  test('of tools, too', async () => {
    const description = CONTROL.repeat(4_000);
    const parameters = { type: 'object', properties: {}, description: 'x'.repeat(60_000) };
    const names = Array.from({ length: 55 }, (_, n) => `tool_${n}`);
    const tools = names.map((name) => ({ name, description, parameters }));
    const { id } = await server.api.session({ tools: tools.slice(0, 45) });
    for (const tool of tools.slice(45))
      expect((await server.api.post(`/v1/sessions/${id}/tools`, tool)).status).toBe(201);
    const { pages, ids } = await readAll(server.api, `/v1/sessions/${id}/tools`);
    expect(ids).toEqual(names);
    expect(pages).toBeGreaterThan(1);
  });
});
