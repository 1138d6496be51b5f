// Client tokens on the real system: what they may do, what they may not, and when they die.
import { createHmac } from 'node:crypto';
import { SignJWT } from 'jose';
import { operationsOf, pathOf } from '../security/support/document.ts';
import { type ApiClient, createApiClient } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let system: TestSystem;
let clock: number;
let mine: string;
let other: string;
beforeAll(async () => {
  clock = 0;
  system = await startTestSystem({ now: () => Date.now() + clock });
  mine = (await system.api.session()).id;
  other = (await system.api.session()).id;
});
afterAll(() => system.stop());

const mint = (fields: Record<string, unknown>, maker: ApiClient = system.api) =>
  maker.post('/v1/client-tokens', { session_ids: [mine], scopes: ['read'], ...fields });
const holderOf = (token: string): ApiClient => createApiClient(system.url, token);
const holder = async (scopes: string[], fields: Record<string, unknown> = {}): Promise<ApiClient> =>
  holderOf((await mint({ scopes, ...fields })).body.token);

describe('a token', () => {
  it('tells when it ends: after 5 minutes, or as asked', async () => {
    const { status, body } = await mint({});
    expect(status).toBe(201);
    expect(body).toEqual({
      token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
      expires_at: expect.stringMatching(/Z$/),
    });
    const life = async (fields: Record<string, unknown>) =>
      Date.parse((await mint(fields)).body.expires_at) - Date.now() - clock;
    expect(await life({})).toBeGreaterThan(297_000);
    expect(await life({})).toBeLessThanOrEqual(300_000);
    expect(await life({ expires_in_seconds: 900 })).toBeGreaterThan(897_000);
  });

  it('reads its sessions, and to it there are no others', async () => {
    const reader = await holder(['read']);
    for (const path of ['', '/messages', '/events', '/state']) {
      expect([path, (await reader.get(`/v1/sessions/${mine}${path}`)).status]).toEqual([path, 200]);
      const { status, body } = await reader.get(`/v1/sessions/${other}${path}`);
      expect([path, status, body.error.code]).toEqual([path, 404, 'not_found']);
    }
  });

  it('sends, streams and interrupts with `send`, and posts results with `tool_results`, each alone', async () => {
    const tools = [{ name: 'look_up', description: 'Looks something up', parameters: { type: 'object' } }];
    const { id } = await system.api.session({ tools });
    const of = (scope: string) => holder([scope], { session_ids: [id] });
    const [reader, sender, worker] = [await of('read'), await of('send'), await of('tool_results')];
    expect((await sender.send(id, 'Hello')).content).toContain('Hello');
    const frames = [];
    for await (const frame of sender.stream(id, 'Again')) frames.push(frame);
    expect(frames.at(-1)?.event).toBe('message');

    const asked = await sender.send(id, 'use tool look_up {}');
    const results = { tool_call_id: asked.tool_calls[0].id, result: 'found', wait: true };
    for (const [client, path, body] of [
      [reader, 'messages', { content: 'Hello' }],
      [reader, 'interrupt', {}],
      [reader, 'tool-results', results],
      [sender, 'tool-results', results],
      [worker, 'messages', { content: 'Hello' }],
    ] as const) {
      const answer = await client.post(`/v1/sessions/${id}/${path}`, body);
      expect([path, answer.status, answer.body.error.code]).toEqual([path, 403, 'insufficient_permissions']);
    }
    expect((await worker.get(`/v1/sessions/${id}`)).status).toBe(403);
    const continued = await worker.post(`/v1/sessions/${id}/tool-results`, results);
    expect([continued.status, continued.body.status]).toEqual([200, 'completed']);
    expect((await sender.post(`/v1/sessions/${id}/interrupt`, {})).status).toBe(200);
  });

  it('is refused on every call that the document does not open to it', async () => {
    const all = await holder(['read', 'send', 'tool_results']);
    const document = (await (await fetch(`${system.url}/openapi.json`)).json()) as any;
    const scopes = new Map<string, string>();
    for (const operation of await operationsOf(system.url)) {
      const scope = document.paths[operation.path][operation.method.toLowerCase()]['x-client-scope'];
      if (scope) scopes.set(operation.operationId, scope);
      if (scope || operation.level === 'none') continue;
      const ids = Object.fromEntries(
        operation.ids.map((name) => [name, name === 'sessionId' ? mine : 'some_id']),
      );
      const { status, body } = await all.call(operation.method, pathOf(operation, ids));
      expect([operation.name, status, body.error.code]).toEqual([
        operation.name,
        403,
        'insufficient_permissions',
      ]);
    }
    expect(Object.fromEntries(scopes)).toEqual({
      getSession: 'read',
      getSessionState: 'read',
      listMessages: 'read',
      getMessage: 'read',
      listEvents: 'read',
      createMessage: 'send',
      interruptSession: 'send',
      submitToolResults: 'tool_results',
    });
  });

  it("counts to its key's rate limit, and shows its own share of that", async () => {
    const maker = await system.as('rates', 'standard');
    const session = await maker.session();
    const { body } = await mint({ session_ids: [session.id] }, maker);
    const rate = async (client: ApiClient) => {
      const { headers } = await client.get(`/v1/sessions/${session.id}`);
      return [headers.get('x-ratelimit-limit'), headers.get('x-ratelimit-remaining')].map(Number);
    };
    const [limit = 0, before = 0] = await rate(maker);
    expect(await rate(holderOf(body.token))).toEqual([limit / 4, limit / 4 - 1]);
    expect(await rate(maker)).toEqual([limit, before - 2]);
  });

  it('is shown once: a retry has null in its place', async () => {
    const headers = { 'Idempotency-Key': 'token-1' };
    const body = { session_ids: [mine], scopes: ['read'] };
    const first = await system.api.post('/v1/client-tokens', body, headers);
    const again = await system.api.post('/v1/client-tokens', body, headers);
    expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([201, 'true']);
    expect(again.body).toEqual({ token: null, expires_at: first.body.expires_at });
  });
});

describe('a request for a token', () => {
  it.each<[string, Record<string, unknown>, string]>([
    ['without sessions', { session_ids: [] }, 'session_ids'],
    ['with 21 sessions', { session_ids: Array.from({ length: 21 }, (_, i) => `sess_${i}`) }, 'session_ids'],
    ['with one session twice', { session_ids: ['a', 'a'] }, 'session_ids'],
    ['without scopes', { scopes: [] }, 'scopes'],
    ['with an unknown scope', { scopes: ['write'] }, 'scopes[0]'],
    ['for 901 seconds', { expires_in_seconds: 901 }, 'expires_in_seconds'],
    ['for no time', { expires_in_seconds: 0 }, 'expires_in_seconds'],
    ['with another field', { level: 'admin' }, 'level'],
  ])('%s is refused by the name of the field', async (_name, fields, param) => {
    const { status, body } = await mint(fields);
    expect([status, body.error.code, body.error.param]).toEqual([400, 'invalid_request', param]);
  });

  it("for a session that isn't there, or is another account's, is a 404", async () => {
    const stranger = await (await system.as('stranger', 'admin')).session();
    for (const id of ['sess_unknown', stranger.id])
      expect((await mint({ session_ids: [mine, id] })).status).toBe(404);
  });
});

describe('a token dies', () => {
  it('when its time is over', async () => {
    const reader = await holder(['read'], { expires_in_seconds: 60 });
    expect((await reader.get(`/v1/sessions/${mine}`)).status).toBe(200);
    clock += 60_000;
    const { status, body } = await reader.get(`/v1/sessions/${mine}`);
    expect([status, body.error.code]).toEqual([401, 'expired_api_key']);
  });

  it('with its key, and so do its open streams', async () => {
    const { body: key } = await system.api.post('/v1/api-keys', { name: 'parent', level: 'standard' });
    const maker = createApiClient(system.url, key.key);
    const { body } = await mint({ scopes: ['read', 'send'] }, maker);
    const client = holderOf(body.token);
    const frames = client.stream(mine, 'hello [[token_ms=200]] [[tokens=100]]');
    expect((await frames.next()).done).toBe(false);
    await system.api.delete(`/v1/api-keys/${key.id}`);
    const seen = [];
    for await (const frame of frames) seen.push(frame.event);
    expect(seen).not.toContain('message');
    await system.api.post(`/v1/sessions/${mine}/interrupt`, {});
    const { status, body: refusal } = await client.get(`/v1/sessions/${mine}`);
    expect([status, refusal.error.code]).toEqual([401, 'invalid_api_key']);
  });
});

describe('test 54: a forged token', () => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const unsigned = (header: object, claims: object): string => `${part(header)}.${part(claims)}.`;
  const hour = () => Math.floor((Date.now() + clock) / 1_000) + 3_600;

  it.each<[string, (genuine: string) => string | Promise<string>]>([
    ['without a signature', (genuine) => `${genuine.split('.').slice(0, 2).join('.')}.`],
    ['with the algorithm none', (genuine) => unsigned({ alg: 'none' }, claimsOf(genuine))],
    ['signed with another secret', (genuine) => signed(genuine, {}, 'guessed')],
    [
      'signed with the public word of another algorithm',
      (genuine) => signed(genuine, { alg: 'HS512' }, 'guessed'),
    ],
    ['with a path as its kid', (genuine) => signed(genuine, { kid: '../../dev/null' }, '')],
    ['with another session', (genuine) => swapped(genuine, { sessions: [other] })],
    ['that lives longer', (genuine) => swapped(genuine, { exp: hour() })],
    ['for another audience', (genuine) => swapped(genuine, { aud: 'elsewhere' })],
    ['with its first letter changed', (genuine) => `f${genuine.slice(1)}`],
    ['twice', (genuine) => `${genuine}.${genuine}`],
  ])('%s is refused', async (_name, forge) => {
    const genuine: string = (await mint({ scopes: ['read'] })).body.token;
    expect((await holderOf(genuine).get(`/v1/sessions/${mine}`)).status).toBe(200);
    const { status, body } = await holderOf(await forge(genuine)).get(`/v1/sessions/${mine}`);
    expect([status, body.error.code]).toEqual([401, 'invalid_api_key']);
  });

  const claimsOf = (token: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString());
  const headerOf = (token: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString());
  const swapped = (token: string, claims: object): string =>
    [token.split('.')[0], part({ ...claimsOf(token), ...claims }), token.split('.')[2]].join('.');
  const signed = (token: string, header: object, secret: string): Promise<string> =>
    new SignJWT(claimsOf(token))
      .setProtectedHeader({ ...headerOf(token), ...header } as { alg: string })
      .sign(createHmac('sha512', secret).digest());
});
