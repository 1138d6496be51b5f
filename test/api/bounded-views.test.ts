// Answers are bounded in bytes, whatever was stored: 4 MiB, counted as they are sent, with every escape.
import type { Model } from '../../src/models/port.ts';
import type { Answer } from '../support/api-client.ts';
import { replyOf } from '../support/store.ts';
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
  await server.api.post(`${path}/complete`);
  // An ended session is changed by the PATCH, and before that by what the interrupted call has cost.
  let etag = '';
  for (let status = 200; status !== 304; ) {
    etag = (await server.api.get(path)).headers.get('etag') as string;
    expect(etag).toMatch(/^W\/"/);
    status = (await server.api.get(path, { 'If-None-Match': etag })).status;
  }
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

describe('a message with long results of tools', () => {
  const RESULTS = 8;
  const MESSAGE_BYTES_MAX = ANSWER_BYTES_MAX + 64 * 1024;
  const model: Model = {
    stream: async ({ messages }) => ({
      ...replyOf('Done.'),
      ...(messages.length === 1 && {
        blocks: Array.from({ length: RESULTS }, (_, n) => ({
          ...{ type: 'tool_use', id: `toolu_${n}`, name: 'look_up', input: { key: `k${n}` } },
        })),
      }),
    }),
  };
  const tools = [{ name: 'look_up', description: 'd', parameters: { type: 'object' } }];
  const resultOf = (n: number) => `${n}${'x'.repeat(999_999)}`;
  let path: string;
  let reply: any;
  const answers: Answer[] = [];
  let own: TestSystem;
  afterAll(() => own.stop());
  beforeAll(async () => {
    own = await startTestSystem({ model });
    const { id } = await own.api.session({ tools });
    path = `/v1/sessions/${id}`;
    reply = await own.api.send(id, 'Do it');
    for (const [n, { id: tool_call_id }] of reply.tool_calls.entries())
      answers.push(
        await own.api.post(`${path}/tool-results`, {
          ...{ tool_call_id, result: resultOf(n), wait: n === RESULTS - 1 },
        }),
      );
  }, TEST_MS_MAX);

  const expectCut = (message: any): void => {
    expect(message).toMatchObject({ truncated: true, url: `${path}/tool-calls` });
    expect(Buffer.byteLength(JSON.stringify(message))).toBeLessThanOrEqual(MESSAGE_BYTES_MAX);
    const shown = message.tool_calls.map(({ result }: { result: string | null }) => result?.[0] ?? null);
    expect(shown).toEqual([null, null, null, null, '4', '5', '6', '7']);
    expect(message.tool_calls[0].parameters).toEqual({ key: 'k0' });
  };

  it('keeps the newest results in its view, in a sync answer and in the event of its end', async () => {
    expectCut(answers.at(-1)?.body);
    const { body } = await own.api.get(`${path}/messages/${reply.id}`);
    expect(body).toMatchObject({ id: reply.id, status: 'completed', content: 'Done.' });
    expectCut(body);
    const { data } = (await own.api.get(`${path}/messages?order=desc`)).body;
    expect(data).toMatchObject([{ id: reply.id }]);
    expectCut(data[0]);
    const events = await own.api.events(path.replace('/v1/sessions/', ''));
    expectCut(events.at(-1)?.message);
  });

  it('is bounded in the answer to each result', () => {
    for (const answer of answers.slice(0, -1)) expectBounded(answer);
  });

  it('is whole in the list of calls', async () => {
    const found: string[] = [];
    for (let query = '?order=asc&limit=100'; ; ) {
      const { body } = await own.api.get(`${path}/tool-calls${query}`);
      found.push(...body.data.map(({ result }: { result: string }) => result));
      if (!body.has_more) break;
      query = `?order=asc&limit=100&cursor=${body.next_cursor}`;
    }
    expect(found).toEqual(Array.from({ length: RESULTS }, (_, n) => resultOf(n)));
  });

  it('is shown in its session without its long fields', async () => {
    const answer = await own.api.get(path);
    expectBounded(answer);
    expect(answer.body).toMatchObject({
      truncated: true,
      messages: [
        {
          ...{ id: reply.id, content: null, content_blocks: null, tool_calls: null },
          ...{ truncated: true, url: `${path}/messages/${reply.id}` },
        },
      ],
    });
  });
});

test('a session shows a newest message that is too long without its long fields', async () => {
  const id = await busySession();
  await server.api.send(id, CONTENT, { background: true });
  const answer = await server.api.get(`/v1/sessions/${id}`);
  expectBounded(answer);
  const [message] = answer.body.messages;
  const path = `/v1/sessions/${id}/messages/${message.id}`;
  expect(answer.body).toMatchObject({
    truncated: true,
    messages: [{ role: 'user', content: null, truncated: true, url: path }],
  });
  const { body } = await server.api.get(path);
  expect(body.content).toBe(CONTENT);
});
