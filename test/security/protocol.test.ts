// HTTP that is meant to confuse: two lengths, two hosts, other paths to the same place, and calls that fail in every way.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_DIR } from '../support/built.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';
import { bodyOf, type Operation, operationsOf, pathOf } from './support/document.ts';
import { bodyIn, exchange, statusesIn } from './support/raw-http.ts';

let system: TestSystem;
let operations: Operation[];
let port: number;
beforeAll(async () => {
  system = await startTestSystem();
  operations = await operationsOf(system.url);
  port = Number(new URL(system.url).port);
});
afterAll(() => system.stop());

const IDS = {
  sessionId: 'sess_unknown',
  messageId: 'msg_unknown',
  keyId: 'key_unknown',
  webhookId: 'wh_unknown',
  deliveryId: 'dlv_unknown',
  name: 'no_such_tool',
};
const NUMBER = expect.stringMatching(/^\d+$/);
const HEADERS = {
  'request-id': expect.stringMatching(/^req_[A-Za-z0-9]{24}$/),
  'x-ratelimit-limit': NUMBER,
  'x-ratelimit-remaining': NUMBER,
  'x-ratelimit-reset': NUMBER,
  'content-type': 'application/json; charset=utf-8',
  'x-content-type-options': 'nosniff',
  'content-security-policy': expect.stringContaining("frame-ancestors 'none'"),
  'cache-control': 'no-store',
};

function expectEnvelope(body: any, code: string): void {
  expect(Object.keys(body)).toEqual(['error']);
  expect(Object.keys(body.error)).toEqual(['code', 'message', 'param', 'type']);
  expect(body.error.code).toBe(code);
  // Where our code lies and what it is made of is nobody's business.
  expect(JSON.stringify(body)).not.toMatch(/\bat .+:\d+:\d+|node_modules|\.ts\b|\/work\/|sqlite|kysely/i);
}

describe('every call that fails', () => {
  type Failure = {
    status: number;
    code: string;
    of?: (operation: Operation) => boolean;
    init: RequestInit;
    suffix?: string;
  };
  const json = { 'content-type': 'application/json' };
  const isWrite = ({ method }: Operation) => method !== 'GET';
  const FAILURES: Record<string, Failure> = {
    'without a key': { status: 401, code: 'missing_api_key', init: { headers: { authorization: '' } } },
    'with a wrong key': {
      status: 401,
      code: 'invalid_api_key',
      init: { headers: { authorization: 'Bearer wrong' } },
    },
    'with an unknown parameter': { status: 400, code: 'invalid_request', init: {}, suffix: '?surprise=1' },
    'with a method that is not there': { status: 405, code: 'method_not_allowed', init: { method: 'PUT' } },
    'when only pictures are accepted': {
      status: 406,
      code: 'not_acceptable',
      init: { headers: { accept: 'image/png' } },
    },
    'with a body that is cut off': {
      status: 400,
      code: 'invalid_request',
      of: isWrite,
      init: { headers: json, body: '{"a":' },
    },
    'with a body of another type': {
      status: 415,
      code: 'unsupported_media_type',
      of: isWrite,
      init: { headers: { 'content-type': 'text/xml' }, body: '<a/>' },
    },
    'with five megabytes': {
      status: 413,
      code: 'payload_too_large',
      of: isWrite,
      init: { headers: json, body: ' '.repeat(5_000_000) },
    },
    'with an Idempotency-Key that is too long': {
      status: 400,
      code: 'invalid_request',
      of: isWrite,
      init: { headers: { 'idempotency-key': 'k'.repeat(256) } },
    },
  };

  function callAs({ init, suffix = '' }: Failure, operation: Operation): Promise<Response> {
    const body = init.body ?? JSON.stringify(bodyOf(operation));
    return fetch(system.url + pathOf(operation, IDS) + suffix, {
      ...init,
      method: init.method ?? operation.method,
      headers: { authorization: `Bearer ${system.adminKey}`, ...(body ? json : {}), ...init.headers },
      body: isWrite(operation) ? body : undefined,
    });
  }

  it.each(Object.entries(FAILURES))(
    '%s says so in the envelope, with its headers',
    async (_name, failure) => {
      const { status, code, of = () => true } = failure;
      for (const operation of operations.filter(({ level }) => level !== 'none').filter(of)) {
        const answer = await callAs(failure, operation);
        expect([operation.name, answer.status]).toEqual([operation.name, status]);
        expectEnvelope(await answer.json(), code);
        const headers = Object.fromEntries(answer.headers);
        expect(headers).toMatchObject(HEADERS);
        for (const name of ['server', 'x-powered-by', 'etag', 'access-control-allow-origin'])
          expect(headers).not.toHaveProperty(name);
      }
    },
  );
});

describe('one request that could be read as two', () => {
  const smuggled = 'DELETE /v1/sessions/sess_x HTTP/1.1\r\nHost: x\r\n\r\n';
  const post = (headers: string, body: string) =>
    `POST /v1/sessions HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n${body}`;

  it.each([
    ['a length and chunks', post('Content-Length: 4\r\nTransfer-Encoding: chunked', `0\r\n\r\n${smuggled}`)],
    ['chunks and a length', post('Transfer-Encoding: chunked\r\nContent-Length: 4', `0\r\n\r\n${smuggled}`)],
    ['two lengths', post('Content-Length: 0\r\nContent-Length: 60', smuggled)],
    ['a signed length', post('Content-Length: +4', `aaaa${smuggled}`)],
    ['a length in hex', post('Content-Length: 0x4', `aaaa${smuggled}`)],
    ['a list of lengths', post('Content-Length: 4, 60', `aaaa${smuggled}`)],
    ['an unknown encoding', post('Transfer-Encoding: xchunked', `0\r\n\r\n${smuggled}`)],
    ['chunked, and then something', post('Transfer-Encoding: chunked, identity', `0\r\n\r\n${smuggled}`)],
    ['a space before the colon', post('Transfer-Encoding : chunked', `0\r\n\r\n${smuggled}`)],
    ['a folded header', post('Transfer-Encoding:\r\n chunked', `0\r\n\r\n${smuggled}`)],
    ['a chunk of a strange size', post('Transfer-Encoding: chunked', `-1\r\n${smuggled}`)],
    ['a bare line feed', `POST /v1/sessions HTTP/1.1\nHost: x\nContent-Length: 0\n\n${smuggled}`],
    [
      'a carriage return alone in a header',
      `GET /v1/models HTTP/1.1\r\nHost: x\r\nX-A: b\rX-C: d\r\n\r\n${smuggled}`,
    ],
    ['a NUL in a header', `GET /v1/models HTTP/1.1\r\nHost: x\r\nX-A: b\0c\r\n\r\n${smuggled}`],
  ])('with %s is refused once, and the connection ends', async (_name, bytes) => {
    const received = await exchange(port, bytes);
    expect(statusesIn(received)).toEqual([400]);
    expectEnvelope(bodyIn(received), 'invalid_request');
    expect(received).toMatch(/\r\nConnection: close\r\n/);
  });
});

describe('the host', () => {
  const get = (host: string) =>
    `GET /v1/models HTTP/1.1\r\n${host}Authorization: Bearer ${system.adminKey}\r\nConnection: close\r\n\r\n`;

  it.each(['evil.example', 'evil.example:80@x', '<script>', '127.0.0.1', 'a b'])(
    '%j is repeated nowhere',
    async (host) => {
      const body = '{"model":"claude-haiku"}';
      const received = await exchange(
        port,
        `POST /v1/sessions HTTP/1.1\r\nHost: ${host}\r\nX-Forwarded-Host: ${host}\r\nAuthorization: Bearer ${system.adminKey}\r\n` +
          `Connection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      expect(statusesIn(received)).toEqual([201]);
      expect(received).toMatch(/\r\nLocation: \/v1\/sessions\/sess_/);
      if (host !== '127.0.0.1') expect(received).not.toContain(host);
    },
  );

  it('is given once', async () => {
    expect(statusesIn(await exchange(port, get('Host: one\r\nHost: two\r\n')))).toEqual([400]);
    expect(statusesIn(await exchange(port, get('')))).toEqual([400]);
  });

  it('of an absolute target changes nothing', async () => {
    const absolute = get('Host: x\r\n').replace('/v1/models', 'http://evil.example:1/v1/models');
    const received = await exchange(port, absolute);
    expect(statusesIn(received)).toEqual([200]);
    expect(received).not.toContain('evil');
  });
});

describe('methods and upgrades that nobody offers', () => {
  it.each(['TRACE', 'PUT', 'PROPFIND'])('%s gets the envelope and nothing of its request', async (method) => {
    const received = await exchange(
      port,
      `${method} /v1/sessions HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\nX-Echo: canary\r\nConnection: close\r\n\r\n`,
    );
    expect(statusesIn(received)).toEqual([405]);
    expectEnvelope(bodyIn(received), 'method_not_allowed');
    expect(received).not.toMatch(/canary|access-control|evil/i);
  });

  it('OPTIONS of a foreign page gets a refusal, and no header that lets the page read it', async () => {
    const received = await exchange(
      port,
      'OPTIONS /v1/sessions HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\nX-Echo: canary\r\nConnection: close\r\n\r\n',
    );
    expect(statusesIn(received)).toEqual([403]);
    expectEnvelope(bodyIn(received), 'insufficient_permissions');
    expect(received).not.toMatch(/canary|access-control-allow|evil/i);
  });

  it('an upgrade is no way around the key', async () => {
    for (const protocol of ['websocket', 'h2c']) {
      const bytes = `GET /v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: ${protocol}\r\n\r\n`;
      expect([protocol, statusesIn(await exchange(port, bytes))]).toEqual([protocol, [401]]);
    }
  });
});

describe('the inventory', () => {
  it.each([
    '/v2/sessions',
    '/V1/sessions',
    '//v1/sessions',
    '/v1//sessions',
    '/v1/sessions/',
    '/%2e%2e/v1/sessions',
    '/v1/%2e%2e/v1/sessions',
    '/v1/../v1/sessions',
    '/v1/./sessions',
    '/v1%2fsessions',
    '/v1/sessions%2f',
    '/v1/sessions;a=b',
    '/v1\\sessions',
    '/v1/sessions%00',
    '/v1/sessions.json',
    '/%76%31/nothing',
    '/debug',
    '/metrics',
    '/admin',
    '/.env',
    '/.git/config',
    '/graphql',
    '/swagger.json',
    '/server-status',
    '/console',
    '/package.json',
    '/dist/main.js',
    '/docs/../openapi.json',
    '/openapi.json/',
    '/v1/openapi.json',
    '*',
  ])('has nothing at %s', async (path) => {
    const received = await exchange(
      port,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${system.adminKey}\r\nConnection: close\r\n\r\n`,
    );
    expect(statusesIn(received)).toEqual([404]);
    expectEnvelope(bodyIn(received), 'not_found');
  });

  it('names in README and docs only what is there', () => {
    const files = [
      'README.md',
      ...readdirSync(join(PROJECT_DIR, 'docs'))
        .filter((name) => name.endsWith('.md'))
        .map((name) => `docs/${name}`),
    ];
    // The document has no words for a WebSocket.
    const paths = [...operations.map(({ path }) => path), '/v1/sessions/:id/ws'];
    const known = paths.map((path) => new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`));
    const named = files.flatMap((file) =>
      [
        ...readFileSync(join(PROJECT_DIR, file), 'utf8').matchAll(
          /\b(?:GET|POST|PATCH|DELETE) (\/[\w/:{}$.-]+)/g,
        ),
      ].map(([, path = '']) => path),
    );
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((path) => !known.some((pattern) => pattern.test(path)))).toEqual([]);
  });
});
