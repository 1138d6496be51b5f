// Two `api` and two `worker` processes, none of them harmed: what one of them is told, the others know at once.
import { createApiClient, eventually, type SseFrame } from '../support/api-client.ts';
import { type Deployment, startDeployment } from '../support/deployment.ts';
import { createDatabase } from '../support/postgres.ts';
import { cleanUp, openclaw, startServer } from '../support/process.ts';

/** Far above the 50 ms of the shared look at the log, far below the second after which a follower looks by itself. */
const LAG_MS_MAX = 400;
const WORDS = 60;
const SLOW_ANSWER = `[[tokens=${WORDS} token_ms=40]]`;

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment();
}, 90_000);
afterAll(async () => {
  await deployment?.stop();
  await cleanUp();
}, 60_000);

const clients = () => deployment.apis().map(({ client }) => client);

it('started all at once on an empty database, they have made one admin key', async () => {
  const { body } = await deployment.api().get('/v1/api-keys');
  expect(body.data).toHaveLength(1);
});

it('a session that one api made is spoken to through the other, and read back through both', async () => {
  const [one, two] = clients();
  const session = await one!.session();
  const reply = await two!.send(session.id, 'Hello');
  expect(reply).toMatchObject({ status: 'completed', error: null });
  for (const client of clients())
    expect((await client.get(`/v1/sessions/${session.id}/messages/${reply.id}`)).body).toEqual(reply);
});

it('a reader of the log that stops mid-sentence in one api gets the rest from the other', async () => {
  const [one, two] = clients();
  const session = await one!.session();
  const sent = one!.send(session.id, SLOW_ANSWER);
  const first: SseFrame[] = [];
  for await (const frame of one!.follow(session.id, '?after=0')) {
    first.push(frame);
    if (frame.event === 'message.delta') break;
  }
  const all = [...first];
  const headers = { 'Last-Event-ID': String(first.at(-1)?.id) };
  for await (const frame of two!.follow(session.id, '?after=0', headers)) {
    if (frame.id !== null) all.push(frame);
    if (frame.event === 'message.completed') break;
  }
  const reply = await sent;
  expect(all.slice(1).map(({ id }) => id)).toEqual(all.slice(1).map((_, index) => index + 1));
  const text = all.filter(({ event }) => event === 'message.delta').map(({ data }) => data.text);
  expect([text.join(''), first.at(-1)?.event]).toEqual([reply.content, 'message.delta']);
});

it('one message is streamed through both at the same time, answered once, and read through both', async () => {
  const [one, two] = clients();
  const session = await one!.session();
  const path = `/v1/sessions/${session.id}/messages`;
  const key = { 'Idempotency-Key': 'the same call' };
  const streams = [one!, two!].map(async (client) => {
    const frames: SseFrame[] = [];
    for await (const frame of client.stream(session.id, SLOW_ANSWER, {}, key)) frames.push(frame);
    return frames;
  });
  const ids = async (): Promise<string[]> =>
    (await two!.get(path)).body.data.map(({ id }: { id: string }) => id);
  const [, replyId] = await eventually(ids, ({ length }) => length === 2);
  const [first, second] = await Promise.all(streams);
  const read = (await two!.get(`${path}/${replyId}`)).body;
  expect(read.content.split(' ')).toHaveLength(WORDS);
  for (const frames of [first!, second!]) {
    const text = frames.filter(({ event }) => event === 'content_delta').map(({ data }) => data.text);
    expect(text.join('')).toBe(read.content);
    expect(frames.at(-1)?.data.message).toMatchObject({ id: replyId, status: 'completed' });
  }
  expect((await one!.get(path)).body.data).toHaveLength(2);
});

it('words written by a worker reach a stream within a few tenths of a second, long before the turn ends', async () => {
  const [one] = clients();
  const session = await one!.session();
  const lags: number[] = [];
  let firstDeltaAt = 0;
  for await (const { event, id, data } of one!.stream(session.id, SLOW_ANSWER)) {
    if (event !== 'content_delta') continue;
    firstDeltaAt ||= Date.now();
    lags.push(Date.now() - Date.parse(data.created_at));
    expect(id).toBe(data.seq);
  }
  const endedAt = Date.now();
  const median = lags.sort((a, b) => a - b)[Math.floor(lags.length / 2)];
  process.stdout.write(`a word reaches a stream of another process after ${median} ms (median)\n`);
  expect(median).toBeLessThan(LAG_MS_MAX);
  expect(endedAt - firstDeltaAt).toBeGreaterThan((WORDS * 40) / 2);
});

it('a call that waits hears of the end within a few tenths of a second', async () => {
  const [, two] = clients();
  const session = await two!.session();
  const reply = await two!.send(session.id, '[[tokens=5 token_ms=1]]');
  expect(Date.now() - Date.parse(reply.completed_at)).toBeLessThan(LAG_MS_MAX);
});

it('who follows a session through one api is told of its end when it is deleted through the other', async () => {
  const [one, two] = clients();
  const session = await one!.session();
  const frames: SseFrame[] = [];
  let deleted: Promise<{ status: number }> | undefined;
  const answering = one!.post(`/v1/sessions/${session.id}/messages`, { content: SLOW_ANSWER });
  for await (const frame of two!.follow(session.id, '?after=0')) {
    frames.push(frame);
    if (frame.event === 'message.delta') deleted ??= one!.delete(`/v1/sessions/${session.id}`);
  }
  expect((await deleted)?.status).toBe(200);
  expect((await two!.get(`/v1/sessions/${session.id}`)).status).toBe(404);
  await answering;
  const [opened, ...events] = frames;
  expect([opened?.event, ...events.map(({ id }) => id)]).toEqual([
    'stream.opened',
    ...events.map((_, index) => index + 1),
  ]);
  expect(events.slice(-2).map(({ event, data }) => [event, data.message?.status ?? data.reason])).toEqual([
    ['message.interrupted', 'interrupted'],
    ['session.ended', 'deleted'],
  ]);
});

it('an api says whether any worker polls, a worker whether it does itself, and nothing else', async () => {
  const ok = { status: 'ok', error: null };
  for (const { client } of [...deployment.apis(), ...deployment.workers()]) {
    expect((await client.get('/healthz')).body).toEqual({ status: 'ok' });
    const { status, body } = await client.get('/readyz');
    expect([status, body.checks]).toEqual([200, { temporal: ok, store: ok, workers: ok }]);
  }
  const answer = await deployment.workers()[0]!.client.get('/v1/sessions');
  expect([answer.status, answer.body.error.code]).toEqual([404, 'not_found']);
});

describe('a database without a key', () => {
  it('is told of, and `keys create` makes the first one, which the running api takes at once', async () => {
    const url = new URL(deployment.databaseUrl);
    const env: Record<string, string> = {
      ...deployment.env,
      DATABASE_URL: await createDatabase(url.href, 'without_a_key'),
      OPENCLAW_API_KEY: '',
    };
    const api = await startServer({ role: 'api', env });
    expect(api.stderr()).toContain('There is no API key yet: run `openclaw keys create');
    const made = await openclaw(['keys', 'create', '--account', 'acme', '--level', 'admin'], env);
    const client = createApiClient(api.url, made.stdout.trim());
    expect((await client.get('/v1/api-keys')).body.data).toHaveLength(1);
    await api.stop();
  });
});

it('a webhook can be told of none of the own servers, by number or by name', async () => {
  const { DATABASE_URL, TEMPORAL_ADDRESS } = deployment.env;
  const own = [DATABASE_URL, `http://${TEMPORAL_ADDRESS}`, ...deployment.baseUrls()].map(
    (url) => new URL(url!).port,
  );
  const urls = own.flatMap((port) =>
    ['http://127.0.0.1', 'https://127.0.0.1', 'https://[::1]', 'https://localhost'].map(
      (origin) => `${origin}:${port}/`,
    ),
  );
  for (const url of urls) {
    const { status, body } = await deployment.api().post('/v1/webhooks', { url, events: ['*'] });
    expect([url, status, body.error?.param]).toEqual([url, 400, 'url']);
  }
});

describe('characters that PostgreSQL cannot store', () => {
  const NUL = '\u0000';
  const LONE = '\ud800';
  const places: [string, string, string, unknown?][] = [
    ['an id', 'GET', '/v1/sessions/sess_%00'],
    ['an id of a message', 'GET', '/v1/sessions/SESSION/messages/msg_%00'],
    ['a filter', 'GET', '/v1/sessions?model=%00'],
    ['a metadata filter', 'GET', '/v1/sessions?metadata[a]=%00'],
    ['a key of a metadata filter', 'GET', '/v1/sessions?metadata[%00]=a'],
    ['a cursor', 'GET', '/v1/sessions?cursor=%00'],
    ['a filter of events', 'GET', '/v1/sessions/SESSION/events?message_id=%00'],
    ['metadata', 'POST', '/v1/sessions', { model: 'claude-haiku', metadata: { a: NUL } }],
    ['a key of metadata', 'POST', '/v1/sessions', { model: 'claude-haiku', metadata: { [NUL]: 'a' } }],
    ['a system prompt', 'POST', '/v1/sessions', { model: 'claude-haiku', system_prompt: `a${NUL}` }],
    ['a message', 'POST', '/v1/sessions/SESSION/messages', { content: `a${NUL}b` }],
    ['a lone surrogate', 'POST', '/v1/sessions/SESSION/messages', { content: `a${LONE}b` }],
    ['a name', 'POST', '/v1/api-keys', { name: NUL, level: 'admin' }],
    ['an id to delete', 'DELETE', '/v1/api-keys/key_%00'],
  ];

  it.each(places)('in %s are no failure of ours', async (...[, method, path, body]) => {
    const api = deployment.api();
    const { id } = await api.session();
    const answer = await api.call(method, path.replace('SESSION', id), body);
    expect([200, 400, 404]).toContain(answer.status);
    if (method === 'POST') expect([answer.status, typeof answer.body.error.param]).toEqual([400, 'string']);
  });
});
