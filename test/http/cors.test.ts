// Web pages of other origins: who may call, what a preflight says, and that a page can read every answer.
import { openSocket, refusalOf } from '../support/socket-client.ts';
import { addSession } from './support/fake-services.ts';
import { type CallOptions, expectError, type Harness, startHarness } from './support/server.ts';

const PAGE = 'https://app.example.com';

let app: Harness;
let dev: Harness;
beforeAll(async () => {
  app = await startHarness({ corsOrigins: [PAGE, 'http://localhost:3000'] });
  dev = await startHarness({ corsOrigins: [PAGE], allowLocalPages: true });
});
afterAll(async () => {
  await app.close();
  await dev.close();
});

const preflight = (
  to: Harness,
  origin: string,
  path = '/v1/sessions',
  headers: Record<string, string> = {},
) =>
  to.call('OPTIONS', path, {
    key: null,
    headers: {
      Origin: origin,
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'authorization,content-type',
      ...headers,
    },
  });
const listOf = (headers: Headers, name: string) => (headers.get(name) ?? '').toLowerCase().split(/,\s*/);
const allowed = (headers: Headers) => headers.get('access-control-allow-origin');

describe('a preflight', () => {
  it('of a listed origin says what its page may send', async () => {
    const { status, headers, text } = await preflight(app, PAGE);
    expect([status, text, allowed(headers)]).toEqual([204, '', PAGE]);
    expect(listOf(headers, 'access-control-allow-methods')).toEqual([
      'get',
      'head',
      'post',
      'patch',
      'delete',
    ]);
    expect(listOf(headers, 'access-control-allow-headers')).toEqual(
      expect.arrayContaining([
        ...['authorization', 'content-type', 'idempotency-key', 'if-none-match'],
        ...['last-event-id', 'prefer', 'x-api-key'],
      ]),
    );
    expect(Number(headers.get('access-control-max-age'))).toBeGreaterThan(0);
    expect(headers.get('access-control-allow-credentials')).toBeNull();
    expect(listOf(headers, 'vary')).toContain('origin');
    expect(headers.get('request-id')).toMatch(/^req_/);
  });

  it('is answered on every path, unknown ones too, so that the page can read what is wrong', async () => {
    for (const path of ['/v1/sessions/sess_x/messages', '/v1/nothing', '/healthz', '/openapi.json'])
      expect([path, (await preflight(app, PAGE, path)).status]).toEqual([path, 204]);
  });

  it('needs no key, and does not count to a rate limit', async () => {
    const tight = await startHarness({ corsOrigins: [PAGE], rateLimitPerMinute: 1 });
    for (let count = 0; count < 5; count += 1) {
      const { status, headers } = await preflight(tight, PAGE);
      expect([status, headers.get('x-ratelimit-limit')]).toEqual([204, null]);
    }
    expect((await tight.call('GET', '/v1/models', { headers: { Origin: PAGE } })).status).toBe(200);
    await tight.close();
  });

  it('of a page of the internet may ask for a private address', async () => {
    const ask = { 'Access-Control-Request-Private-Network': 'true' };
    const { headers } = await preflight(app, PAGE, '/v1/sessions', ask);
    expect(headers.get('access-control-allow-private-network')).toBe('true');
    expect((await preflight(app, PAGE)).headers.get('access-control-allow-private-network')).toBeNull();
  });

  it.each([
    ...['https://evil.example.com', 'null', 'http://app.example.com', 'https://app.example.com:8443'],
    ...['https://app.example.com.evil.com', 'https://APP.example.com', `${PAGE}/`, 'localhost:3000'],
    ...['http://localhost:3001', 'http://127.0.0.1:3000'],
  ])('of %s is refused, and says where the operator lists origins', async (origin) => {
    const answer = await preflight(app, origin);
    expectError(answer, 403, 'insufficient_permissions', 'Origin');
    expect(answer.body.error.message).toContain('OPENCLAW_CORS_ORIGINS');
    expect([...answer.headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([]);
  });

  it('that is none is a call with a method that no route has', async () => {
    const without = await app.call('OPTIONS', '/v1/sessions', { headers: { Origin: PAGE } });
    expectError(without, 405, 'method_not_allowed');
    expect(allowed(without.headers)).toBe(PAGE);
    const headers = { 'Access-Control-Request-Method': 'POST' };
    expectError(await app.call('OPTIONS', '/v1/sessions', { headers }), 405, 'method_not_allowed');
  });
});

describe('an answer', () => {
  const from = (origin: string, options: CallOptions = {}): CallOptions => ({
    ...options,
    headers: { ...options.headers, Origin: origin },
  });

  it('can be read by a page of a listed origin, with its headers', async () => {
    const { id } = addSession(app);
    const { status, headers } = await app.call('GET', `/v1/sessions/${id}`, from(PAGE));
    expect([status, allowed(headers)]).toEqual([200, PAGE]);
    expect(listOf(headers, 'access-control-expose-headers')).toEqual(
      expect.arrayContaining([
        ...['request-id', 'x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset', 'retry-after'],
        ...['etag', 'location', 'idempotent-replayed'],
      ]),
    );
    expect(listOf(headers, 'vary')).toContain('origin');
    expect(headers.get('access-control-allow-credentials')).toBeNull();
  });

  it('names no origin but the one that called', async () => {
    const { headers } = await app.call('GET', '/v1/models', from('http://localhost:3000'));
    expect(allowed(headers)).toBe('http://localhost:3000');
  });

  it.each([
    ['without a key', 401, 'GET', '/v1/sessions', { key: null }],
    ['with an unknown key', 401, 'GET', '/v1/sessions', { key: 'unknown' }],
    ['without the level', 403, 'GET', '/v1/api-keys', { key: 'a-standard' }],
    ['on no route', 404, 'GET', '/v1/nothing', {}],
    ['on an undecodable path', 404, 'GET', '/v1/sessions/%zz', {}],
    ['of no session', 404, 'GET', '/v1/sessions/sess_none', {}],
    ['with another method', 405, 'PUT', '/v1/sessions', {}],
    ['with a wrong field', 400, 'POST', '/v1/sessions', { body: { model: 'm', oops: 1 } }],
    ['with too much', 413, 'POST', '/v1/sessions', { body: `{"model":"${'x'.repeat(5_000_000)}"}` }],
    [
      'of another type',
      415,
      'POST',
      '/v1/sessions',
      { body: 'x', headers: { 'content-type': 'text/plain' } },
    ],
  ] as const)('that refuses a call %s can be read too', async (_title, status, method, path, options) => {
    const answer = await app.call(method, path, from(PAGE, options as CallOptions));
    expect([answer.status, allowed(answer.headers)]).toEqual([status, PAGE]);
    expect(listOf(answer.headers, 'access-control-expose-headers')).toContain('request-id');
  });

  it('that says 429 or 500 can be read too', async () => {
    const tight = await startHarness({ corsOrigins: [PAGE], rateLimitPerMinute: 1 });
    tight.services.models.list = () => {
      throw new Error('broken');
    };
    for (const status of [500, 429]) {
      const answer = await tight.call('GET', '/v1/models', from(PAGE));
      expect([answer.status, allowed(answer.headers)]).toEqual([status, PAGE]);
    }
    await tight.close();
  });

  it('that streams can be read too', async () => {
    const { id } = addSession(app);
    const body = { content: 'Hi', stream: true };
    const posted = await app.call('POST', `/v1/sessions/${id}/messages`, from(PAGE, { body }));
    expect([posted.status, allowed(posted.headers)]).toEqual([200, PAGE]);
    expect(posted.text).toContain('event: message');
    const path = `/v1/sessions/${id}/events?after=0`;
    const followed = await app.call('GET', path, from(PAGE, { headers: { Accept: 'text/event-stream' } }));
    expect([followed.status, allowed(followed.headers)]).toEqual([200, PAGE]);
  });

  it.each(['https://evil.example.com', 'null'])('to a page of %s names no origin', async (origin) => {
    const { status, headers } = await app.call('GET', '/v1/models', from(origin));
    expect([status, allowed(headers)]).toEqual([200, null]);
    expect(headers.get('access-control-expose-headers')).toBeNull();
    expect(listOf(headers, 'vary')).toContain('origin');
  });

  it('differs by origin for caches, also when no page called', async () => {
    const { headers } = await app.call('GET', '/v1/models');
    expect([allowed(headers), listOf(headers, 'vary').includes('origin')]).toEqual([null, true]);
  });
});

describe('in development, a page on localhost', () => {
  const LOCAL = ['http://localhost:5173', 'https://localhost', 'http://127.0.0.1:8000', 'http://[::1]:3000'];

  it.each(LOCAL)('at %s may call with a client token', async (origin) => {
    expect((await preflight(dev, origin)).status).toBe(204);
    const { id } = addSession(dev);
    const options = { key: 'a-token', headers: { Origin: origin } };
    const { status, headers } = await dev.call('GET', `/v1/sessions/${id}`, options);
    expect([status, allowed(headers)]).toEqual([200, origin]);
  });

  it.each(LOCAL)('at %s may not use an API key, and can read why', async (origin) => {
    const answer = await dev.call('GET', '/v1/sessions', { headers: { Origin: origin } });
    expectError(answer, 403, 'insufficient_permissions', 'Origin');
    expect(answer.body.error.message).toMatch(/client token.*OPENCLAW_CORS_ORIGINS/);
    expect(allowed(answer.headers)).toBe(origin);
  });

  it('can read that its token is missing or unknown', async () => {
    const headers = { Origin: 'http://localhost:5173' };
    for (const key of [null, 'unknown']) {
      const answer = await dev.call('GET', '/v1/sessions', { key, headers });
      expect([answer.status, allowed(answer.headers)]).toEqual([401, headers.Origin]);
    }
  });

  it.each([
    ...['http://localhost.evil.com', 'http://localhost:5173.evil.com', 'http://evil.com#localhost', 'null'],
    ...['http://127.0.0.2:3000', 'http://user@localhost', 'http://localhost:5173/', 'file://localhost'],
    ...['http://LOCALHOST', 'http://app.localhost:3000', 'http://0.0.0.0:3000', 'http://127.1:3000'],
  ])('is not %s', async (origin) => {
    expect((await preflight(dev, origin)).status).toBe(403);
    const { headers } = await dev.call('GET', '/v1/models', { headers: { Origin: origin } });
    expect(allowed(headers)).toBeNull();
  });

  it('opens a WebSocket with a client token only', async () => {
    const url = `${dev.url}/v1/sessions/${addSession(dev).id}/ws`;
    const origin = 'http://localhost:5173';
    const socket = await openSocket(url, { origin, protocols: ['openclaw.v1', 'oclaw-token.a-token'] });
    await socket.close();
    const { status, body } = await refusalOf(url, { origin, key: 'a-admin' });
    expect([status, body.error.param]).toEqual([403, 'Origin']);
  });

  it('is foreign to any other server than a development one', async () => {
    expect((await preflight(app, 'http://localhost:5173')).status).toBe(403);
    const url = `${app.url}/v1/sessions/${addSession(app).id}/ws`;
    const refusal = await refusalOf(url, { origin: 'http://localhost:5173', key: 'a-token' });
    expect([refusal.status, refusal.body.error.param]).toEqual([403, 'Origin']);
  });
});

it('a page of this very host needs no entry: to the browser it is no other origin', async () => {
  const options = { headers: { Origin: app.url } };
  expect((await app.call('GET', '/v1/models', options)).status).toBe(200);
});
