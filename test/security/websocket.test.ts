// WebSockets against those who may not: whom an upgrade refuses and how, what each credential may send, and when it ends.
import { randomBytes } from 'node:crypto';
import type { ApiClient } from '../support/api-client.ts';
import { openSocket, refusalOf, type SocketOptions, type TestSocket } from '../support/socket-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';
import { bodyIn, exchange, statusesIn } from './support/raw-http.ts';

const PAGE = 'https://app.example.com';
/** Two looks at the keys, and a moment. */
const REFUSED_WITHIN_MS = 5_000;

let system: TestSystem;
let limited: TestSystem | undefined;
let clock = 0;
let mine: string;
let others: ApiClient;
let theirs: string;
const opened: TestSocket[] = [];
beforeAll(async () => {
  system = await startTestSystem({ now: () => Date.now() + clock, settings: { corsOrigins: [PAGE] } });
  mine = (await system.api.session()).id;
  others = await system.as('other', 'admin');
  theirs = (await others.session()).id;
});
afterAll(async () => {
  for (const { socket } of opened) socket.terminate();
  await limited?.stop();
  await system.stop();
});

const urlOf = (sessionId: string, query = '') => `${system.url}/v1/sessions/${sessionId}/ws${query}`;
const port = () => Number(new URL(system.url).port);

async function connect(sessionId = mine, options: SocketOptions = {}): Promise<TestSocket> {
  const socket = await openSocket(urlOf(sessionId), { key: system.adminKey, ...options });
  opened.push(socket);
  return socket;
}

const mint = async (fields: Record<string, unknown>): Promise<string> =>
  (await system.api.post('/v1/client-tokens', { session_ids: [mine], scopes: ['read'], ...fields })).body
    .token;

const handshake = (path: string, more: string[] = [], method = 'GET') =>
  [
    `${method} ${path} HTTP/1.1`,
    'Host: x',
    'Connection: Upgrade',
    'Upgrade: websocket',
    ...more,
    '',
    '',
  ].join('\r\n');
const WELL_FORMED = [`Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`, 'Sec-WebSocket-Version: 13'];
const withKey = () => [...WELL_FORMED, `Authorization: Bearer ${system.adminKey}`];

describe('an upgrade is refused by status and envelope, as any call:', () => {
  it.each([
    ['without a key', () => urlOf(mine), { key: null }, 401, 'missing_api_key', null],
    ['with an unknown key', () => urlOf(mine), { key: 'oclaw_live_unknown' }, 401, 'invalid_api_key', null],
    [
      'with an unknown token',
      () => urlOf(mine),
      { key: null, protocols: ['openclaw.v1', 'oclaw-token.x'] },
      401,
      'invalid_api_key',
      null,
    ],
    [
      'with two keys',
      () => urlOf(mine),
      { protocols: ['openclaw.v1', 'oclaw-token.x'] },
      401,
      'invalid_api_key',
      null,
    ],
    ['with the key in the query', () => urlOf(mine, '?api_key=x'), {}, 400, 'invalid_request', 'api_key'],
    ['with a cursor that is none', () => urlOf(mine, '?after=x'), {}, 400, 'invalid_request', 'after'],
    ['with a cursor ahead of the log', () => urlOf(mine, '?after=999'), {}, 400, 'invalid_request', 'after'],
    ['with names that there are not', () => urlOf(mine, '?names=x'), {}, 400, 'invalid_request', 'names'],
    ['for no session', () => urlOf('sess_none'), {}, 404, 'not_found', null],
    ["for another account's session", () => urlOf(theirs), {}, 404, 'not_found', null],
    ['for a NUL in the id', () => urlOf('%00'), {}, 404, 'not_found', null],
    ['for an id that is not decodable', () => urlOf('%zz'), {}, 404, 'not_found', null],
    ['on a path that is none', () => `${urlOf(mine)}/`, {}, 404, 'not_found', null],
  ] as const)('%s', async (_title, url, options, status, code, param) => {
    const key = system.adminKey;
    const refusal = await refusalOf(url(), {
      key,
      ...options,
      protocols: [...('protocols' in options ? options.protocols : [])],
    });
    expect([refusal.status, refusal.body.error.code, refusal.body.error.param]).toEqual([
      status,
      code,
      param,
    ]);
    expect(Object.keys(refusal.body.error)).toEqual(['code', 'message', 'param', 'type']);
    expect(refusal.headers['request-id']).toMatch(/^req_\w{24}$/);
    expect(refusal.headers['x-ratelimit-remaining']).toMatch(/^\d+$/);
    expect(refusal.headers.connection).toBe('close');
  });

  it.each([
    ['without a handshake key', () => ['Sec-WebSocket-Version: 13'], 400],
    ['of an old version', () => [...WELL_FORMED.slice(0, 1), 'Sec-WebSocket-Version: 7'], 400],
    ['with protocols that are none', () => [...WELL_FORMED, 'Sec-WebSocket-Protocol: ,,'], 400],
  ])('a handshake that is broken: %s', async (_title, headers, status) => {
    const received = await exchange(
      port(),
      handshake(`/v1/sessions/${mine}/ws`, [...headers(), `Authorization: Bearer ${system.adminKey}`]),
    );
    expect(statusesIn(received)).toEqual([status]);
    expect(bodyIn(received).error.code).toBe('invalid_request');
  });

  it('a GET that wants no WebSocket, and another method', async () => {
    const path = `/v1/sessions/${mine}/ws`;
    const { status, body } = await system.api.get(path);
    expect([status, body.error.code, body.error.param]).toEqual([400, 'invalid_request', 'Upgrade']);
    const posted = await system.api.post(path, {});
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  it('over the rate, before anything is looked at', async () => {
    limited = await startTestSystem({ idle: true, settings: { rateLimitPerMinute: 3 } });
    const { id } = await limited.api.session();
    const url = `${limited.url}/v1/sessions/${id}/ws`;
    const tab = await openSocket(url, { key: limited.adminKey });
    opened.push(tab);
    // The third call of the window; pings are no calls.
    expect(await tab.ask({ type: 'interrupt' })).toMatchObject({ type: 'ack' });
    expect(await tab.ask({ type: 'interrupt' })).toMatchObject({ type: 'error', code: 'rate_limited' });
    expect(await tab.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
    const refusal = await refusalOf(url, { key: limited.adminKey });
    expect([refusal.status, refusal.body.error.code]).toEqual([429, 'rate_limited']);
    expect(Number(refusal.headers['retry-after'])).toBeGreaterThanOrEqual(1);
  });
});

describe('other wishes for another protocol', () => {
  const h2c = (request: string, body = '') =>
    `${request} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n` +
    `Authorization: Bearer ${system.adminKey}\r\n${body && `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`}\r\n${body}`;
  const last = () =>
    `GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx-api-key: ${system.adminKey}\r\n\r\n`;

  it('are left aside: the request is answered, with its body, and the connection goes on', async () => {
    const create = h2c('POST /v1/sessions', '{"model":"claude-haiku"}');
    expect(statusesIn(await exchange(port(), create + last()))).toEqual([201, 200]);
    expect(statusesIn(await exchange(port(), h2c('GET /healthz') + last()))).toEqual([200, 200]);
  });

  it('on a route without sockets, a WebSocket is left aside as well', async () => {
    const received = await exchange(port(), handshake('/v1/models', withKey()));
    expect(statusesIn(received)).toEqual([200]);
    const isAnswered = (text: string) => text.includes('method_not_allowed');
    const other = handshake('/v1/models', withKey(), 'DELETE');
    expect(statusesIn(await exchange(port(), other, isAnswered))).toEqual([405]);
  });

  it('behind a request that is still being answered end the connection', async () => {
    const { id } = await system.api.session();
    const body = JSON.stringify({ content: '[[tokens=20 token_ms=50]]' });
    const slow = `POST /v1/sessions/${id}/messages HTTP/1.1\r\nHost: x\r\nx-api-key: ${system.adminKey}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    expect(await exchange(port(), slow + handshake(`/v1/sessions/${id}/ws`, withKey()))).toBe('');
    expect((await system.api.get('/healthz')).status).toBe(200);
  });
});

describe('a page', () => {
  const from = (origin: string, host?: string): SocketOptions => ({
    origin,
    ...(host && { headers: { Host: host } }),
  });

  it.each([
    ['of an origin that the operator names', () => from(PAGE)],
    ['of this very host', () => from(system.url)],
    [
      'of this very host behind a proxy that ends TLS',
      () => from('https://api.example.com', 'api.example.com'),
    ],
    ['of none: no page at all', () => ({})],
  ])('%s may connect', async (_title, options) => {
    expect(await (await connect(mine, options())).ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
  });

  it.each([
    ['of another origin', () => from('https://evil.example.com')],
    ['of the same host over plain HTTP', () => from('http://app.example.com')],
    ['of a sub-domain', () => from('https://sub.app.example.com')],
    ['of a longer name', () => from('https://app.example.com.evil.com')],
    ['of this host at another port', () => from('http://127.0.0.1:1')],
    ['in a sandbox', () => from('null')],
    ['that is no origin', () => from('app.example.com')],
  ])('%s may not', async (_title, options) => {
    const { status, body } = await refusalOf(urlOf(mine), { key: system.adminKey, ...options() });
    expect([status, body.error.code, body.error.param]).toEqual([403, 'insufficient_permissions', 'Origin']);
  });

  it('presents its token as a protocol, and is answered by the other one alone', async () => {
    const token = await mint({});
    const tab = await connect(mine, {
      key: null,
      origin: PAGE,
      protocols: ['openclaw.v1', `oclaw-token.${token}`],
    });
    expect(tab.socket.protocol).toBe('openclaw.v1');
    expect(JSON.stringify(tab.handshake)).not.toContain(token);
    const byHeader = await connect(mine, { key: null, headers: { 'x-api-key': token } });
    expect(await byHeader.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
  });

  it('whose token is offered without `openclaw.v1` is told so: it would drop the connection silently', async () => {
    const received = await exchange(
      port(),
      handshake(`/v1/sessions/${mine}/ws`, [
        ...WELL_FORMED,
        `Sec-WebSocket-Protocol: oclaw-token.${system.adminKey}`,
      ]),
      (text) => text.endsWith('}}'),
    );
    expect(statusesIn(received)).toEqual([400]);
    expect(bodyIn(received).error.param).toBe('Sec-WebSocket-Protocol');
  });
});

describe('who may send what', () => {
  const FRAMES = {
    message: { type: 'message', content: 'Hello' },
    interrupt: { type: 'interrupt' },
    tool_result: { type: 'tool_result', tool_call_id: 'call_none', result: 1 },
    tool_decision: { type: 'tool_decision' },
    ping: { type: 'ping' },
    subscribe: { type: 'subscribe', session_id: 'sess_none' },
    unsubscribe: { type: 'unsubscribe', session_id: 'sess_none' },
  };
  const keyOf = async (level: 'read-only' | 'standard' | 'admin') => (await system.as('test', level)).key;
  const READING = ['ping', 'subscribe', 'unsubscribe'];
  const ALL = Object.keys(FRAMES);

  it.each([
    ['a read-only key', () => keyOf('read-only'), READING],
    ['a standard key', () => keyOf('standard'), ALL],
    ['an admin key', () => keyOf('admin'), ALL],
    ['a token to read', () => mint({ scopes: ['read'] }), READING],
    [
      'a token to read and send',
      () => mint({ scopes: ['read', 'send'] }),
      [...READING, 'message', 'interrupt'],
    ],
    [
      'a token to read and give results',
      () => mint({ scopes: ['read', 'tool_results'] }),
      [...READING, 'tool_result', 'tool_decision'],
    ],
  ])('%s', async (_title, key, allowed) => {
    const tab = await connect(mine, { key: await key() });
    for (const [type, frame] of Object.entries(FRAMES)) {
      const { code } = await tab.ask(frame);
      expect([type, code === 'insufficient_permissions']).toEqual([type, !allowed.includes(type)]);
    }
  });

  it('a token that may not read may not connect', async () => {
    const { status, body } = await refusalOf(urlOf(mine), { key: await mint({ scopes: ['send'] }) });
    expect([status, body.error.code]).toEqual([403, 'insufficient_permissions']);
  });

  it("another account's and another token's sessions are not there", async () => {
    const second = (await system.api.session()).id;
    const token = await mint({ scopes: ['read', 'send', 'tool_results'] });
    expect((await refusalOf(urlOf(second), { key: token })).status).toBe(404);
    for (const [key, session_id] of [
      [token, second],
      [system.adminKey, theirs],
    ] as const) {
      const tab = await connect(mine, { key });
      for (const frame of [FRAMES.message, FRAMES.interrupt, FRAMES.tool_result, FRAMES.subscribe])
        expect(await tab.ask({ ...frame, session_id })).toMatchObject({ type: 'error', code: 'not_found' });
    }
    expect((await others.get(`/v1/sessions/${theirs}/messages`)).body.data).toEqual([]);
  });
});

describe('a credential that ends', () => {
  it('a revoked key ends its connection and those of its tokens, within 5 seconds, and no other', async () => {
    const made = (await system.api.post('/v1/api-keys', { name: 'to revoke', level: 'standard' })).body;
    const body = { session_ids: [mine], scopes: ['read'] };
    const { token } = (
      await system.api.post('/v1/client-tokens', body, { Authorization: `Bearer ${made.key}` })
    ).body;
    const [kept, ofKey, ofToken] = [
      await connect(),
      await connect(mine, { key: made.key }),
      await connect(mine, { key: token }),
    ];
    const revokedAt = Date.now();
    await system.api.delete(`/v1/api-keys/${made.id}`);
    for (const { closed } of [ofKey, ofToken]) expect(await closed).toMatchObject({ code: 4401 });
    expect(Date.now() - revokedAt).toBeLessThan(REFUSED_WITHIN_MS);
    expect(await kept.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
  });

  it('a token ends with its time', async () => {
    const tab = await connect(mine, { key: await mint({ expires_in_seconds: 60 }) });
    clock = 61_000;
    expect(await tab.closed).toMatchObject({ code: 4401, reason: expect.stringContaining('expired') });
  });
});
