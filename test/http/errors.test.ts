// Every way to fail, in the one envelope, in the order that the API promises.
import { ApiError } from '../../src/contracts/errors.ts';
import { addSession } from './support/fake-services.ts';
import { expectError, type Harness, startHarness } from './support/server.ts';

let app: Harness;
beforeAll(async () => {
  app = await startHarness();
});
afterAll(() => app.close());

const expectRateHeaders = (headers: Headers) => {
  for (const name of ['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset'])
    expect(headers.get(name)).toMatch(/^\d+$/);
};

describe('routes', () => {
  it.each([
    '/v1',
    '/v1/',
    '/v1/nothing',
    '/v1/sessions/',
    '/v1/Sessions',
    '/v1/sessions/%zz',
    '/v1/sessions/x/%c0',
    '/v1/sessions/x/unknown',
  ])('answers 404 without a key at %s, with rate headers', async (path) => {
    const answer = await app.call('GET', path, { key: null });
    expectError(answer, 404, 'not_found');
    expectRateHeaders(answer.headers);
  });

  it.each(['/', '/V1/sessions', '//v1/sessions', '/v2/sessions', '/healthz/', '/%2e%2e/v1/sessions'])(
    'answers 404 at %s',
    async (path) => {
      const received = await app.raw(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-admin\r\nConnection: close\r\n\r\n`,
      );
      expect(received).toMatch(/^HTTP\/1.1 404 /);
      expect(received).toContain('{"error":{"code":"not_found"');
    },
  );

  it.each(['PUT', 'OPTIONS', 'PATCH', 'DELETE', 'QUERY', 'PURGE'])(
    'refuses %s with Allow',
    async (method) => {
      const answer = await app.call(method, '/v1/sessions', { key: null });
      expectError(answer, 405, 'method_not_allowed');
      expect(answer.headers.get('allow')).toBe('POST, GET, HEAD');
      expect(answer.body.error.message).toBe(`${method} is not allowed here. Allowed: POST, GET, HEAD`);
      expectRateHeaders(answer.headers);
    },
  );

  it('refuses TRACE, which fetch does not send', async () => {
    const received = await app.raw('TRACE /v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(received).toMatch(/^HTTP\/1.1 405 /);
    expect(received).toMatch(/\r\nAllow: POST, GET, HEAD\r\n/);
  });

  it('refuses CONNECT in words, in its turn, and ends the connection', async () => {
    const connect = 'CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n';
    const received = await app.raw(`GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n${connect}`);
    expect(received).toMatch(/^HTTP\/1.1 200 OK[\s\S]*HTTP\/1.1 400 Bad Request\r\n/);
    expect(received).toMatch(/"invalid_request","message":"CONNECT is not allowed/);
    expect(await app.raw(connect)).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/);
  });

  it('answers HEAD as GET without the body, and refuses it where there is no GET', async () => {
    const head = await app.call('HEAD', '/v1/sessions');
    expect([head.status, head.text]).toEqual([200, '']);
    expect((await app.call('HEAD', '/v1/sessions/x/complete')).status).toBe(405);
  });

  it('answers HEAD of a stream with its headers, and goes on with the connection', async () => {
    app.script.events = async function* (signal) {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    };
    const head = `HEAD /v1/sessions/${addSession(app).id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-standard\r\n`;
    const received = await app.raw(
      `${head}Accept: text/event-stream\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );
    expect(received).toMatch(
      /^HTTP\/1.1 200 OK\r\n[\s\S]*text\/event-stream[\s\S]*\r\n\r\nHTTP\/1.1 200 OK\r\n/,
    );
    app.script.events = null;
  });
});

describe('keys', () => {
  it('asks for a key, and says how', async () => {
    const answer = await app.call('GET', '/v1/sessions', { key: null });
    expectError(answer, 401, 'missing_api_key');
    expectRateHeaders(answer.headers);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
  });

  it.each([
    ['an unknown key', { authorization: 'Bearer nobody' }, 'invalid_api_key'],
    ['an expired key', { authorization: 'Bearer expired' }, 'expired_api_key'],
    ['a key of another case', { authorization: 'Bearer A-ADMIN' }, 'invalid_api_key'],
    ['another scheme', { authorization: 'Basic YTpi' }, 'invalid_api_key'],
    ['a key without a scheme', { authorization: 'a-admin' }, 'invalid_api_key'],
    ['something behind the key', { authorization: 'Bearer a-admin a-admin' }, 'invalid_api_key'],
    ['two different keys', { authorization: 'Bearer a-admin', 'x-api-key': 'b-admin' }, 'invalid_api_key'],
    ['an empty key', { authorization: 'Bearer ' }, 'missing_api_key'],
    ['an empty x-api-key', { 'x-api-key': '' }, 'missing_api_key'],
  ])('refuses %s', async (_name, headers, code) => {
    const answer = await app.call('GET', '/v1/sessions', {
      key: null,
      headers: headers as Record<string, string>,
    });
    expectError(answer, 401, code);
  });

  it.each([
    { authorization: 'Bearer a-admin' },
    { authorization: 'bEARER   a-admin' },
    { 'x-api-key': 'a-admin' },
    { authorization: 'Bearer a-admin', 'x-api-key': 'a-admin' },
  ])('takes %j', async (headers) => {
    const answer = await app.call('GET', '/v1/sessions', {
      key: null,
      headers: headers as Record<string, string>,
    });
    expect(answer.status).toBe(200);
  });

  it('refuses a header given twice', async () => {
    const received = await app.raw(
      'GET /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-admin\r\n' +
        'Authorization: Bearer b-admin\r\nConnection: close\r\n\r\n',
    );
    expect(received).toMatch(/^HTTP\/1.1 401 /);
  });

  it('does not take a key from the query', async () => {
    expectError(await app.call('GET', '/v1/sessions?api_key=a-admin', { key: null }), 401, 'missing_api_key');
  });
});

describe('the order of the checks', () => {
  it('puts the route before the key', async () => {
    expectError(await app.call('GET', '/v1/nothing', { key: 'nobody' }), 404, 'not_found');
    expectError(await app.call('PUT', '/v1/sessions', { key: 'nobody' }), 405, 'method_not_allowed');
  });

  it('puts the key before the body', async () => {
    expectError(await app.call('POST', '/v1/sessions', { key: null, body: '{' }), 401, 'missing_api_key');
  });

  it('puts the level before body, type, query and size', async () => {
    const refused = { key: 'a-read-only', body: '{' };
    expectError(await app.call('POST', '/v1/sessions', refused), 403, 'insufficient_permissions');
    expectError(await app.call('POST', '/v1/sessions?x=1', refused), 403, 'insufficient_permissions');
    const text = { ...refused, headers: { 'content-type': 'text/plain', accept: 'text/html' } };
    expectError(await app.call('POST', '/v1/sessions', text), 403, 'insufficient_permissions');
  });

  it('puts the body before the resource', async () => {
    expectError(
      await app.call('POST', '/v1/sessions/nobody/messages', { body: {} }),
      400,
      'invalid_request',
      'content',
    );
    expectError(await app.call('GET', '/v1/sessions/nobody?x=1'), 400, 'invalid_request', 'x');
  });

  it('puts the resource before its state', async () => {
    const { id } = addSession(app, { status: 'archived' });
    const body = { content: 'hi' };
    expectError(
      await app.call('POST', `/v1/sessions/${id}/messages`, { body, key: 'b-admin' }),
      404,
      'not_found',
    );
    expectError(await app.call('POST', `/v1/sessions/${id}/messages`, { body }), 404, 'session_ended');
  });
});

describe('what services throw', () => {
  const withFailure = async (failure: unknown) => {
    const original = app.services.sessions.get;
    app.services.sessions.get = () => Promise.reject(failure);
    const answer = await app.call('GET', '/v1/sessions/any');
    app.services.sessions.get = original;
    return answer;
  };

  it.each([
    ['not_found', 404],
    ['session_ended', 404],
    ['session_busy', 409],
    ['last_admin_key', 409],
    ['idempotency_key_reused', 422],
    ['queue_full', 429],
    ['unavailable', 503],
  ] as const)('answers %s with %i', async (code, status) => {
    const answer = await withFailure(new ApiError(code, 'Because'));
    expectError(answer, status, code);
    expectRateHeaders(answer.headers);
    expect(answer.headers.get('retry-after')).toBe(status === 429 || status === 503 ? '1' : null);
  });

  it('rounds Retry-After up to whole seconds', async () => {
    const answer = await withFailure(new ApiError('unavailable', 'Away', { retryAfterSeconds: 2.2 }));
    expect(answer.headers.get('retry-after')).toBe('3');
  });

  it.each([new Error('secret detail'), null, 'text', { status: 200 }])(
    'hides %p and logs it',
    async (bug) => {
      const answer = await withFailure(bug);
      expectError(answer, 500, 'internal_error');
      expect(answer.text).not.toContain('secret detail');
      const logged = app.logs.filter((line) => line.msg === 'request failed').at(-1);
      expect(logged?.request_id).toBe(answer.headers.get('request-id'));
    },
  );

  it('takes an answer that does not fit its schema for a bug', async () => {
    const original = app.services.sessions.state;
    app.services.sessions.state = async () => ({ phase: 'dreaming' }) as never;
    const { id } = addSession(app);
    expectError(await app.call('GET', `/v1/sessions/${id}/state`), 500, 'internal_error');
    app.services.sessions.state = original;
  });

  it('never lets out a field that the schema does not name', async () => {
    const { id } = addSession(app, { account_id: 'acct_a', internal: 1 } as never);
    const { body } = await app.call('GET', `/v1/sessions/${id}`);
    expect(body).not.toHaveProperty('account_id');
    expect(body).not.toHaveProperty('internal');
  });
});

describe('what clients accept', () => {
  it.each(['text/html', 'text/event-stream', 'application/json;q=0'])('refuses %s', async (accept) => {
    expectError(await app.call('GET', '/v1/sessions', { headers: { accept } }), 406, 'not_acceptable');
  });

  it.each(['*/*', 'application/*', 'text/html, application/json;q=0.1'])('takes %s', async (accept) => {
    expect((await app.call('GET', '/v1/sessions', { headers: { accept } })).status).toBe(200);
  });

  it('takes text/event-stream where a stream can be answered', async () => {
    const { id } = addSession(app);
    const headers = { accept: 'text/event-stream' };
    const answer = await app.call('POST', `/v1/sessions/${id}/messages`, {
      body: { content: 'hi' },
      headers,
    });
    expect(answer.status).toBe(200);
  });
});
