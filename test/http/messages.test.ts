// The ways to wait for an answer, retries of the same call, and resources that did not change.

import { TERMINAL_STATUSES } from '../../src/contracts/messages.ts';
import { addSession } from './support/fake-services.ts';
import { makeMessage } from './support/fixtures.ts';
import { expectError, type Harness, startHarness } from './support/server.ts';

let app: Harness;
let sessionId: string;
beforeAll(async () => {
  app = await startHarness();
  sessionId = addSession(app).id;
});
afterAll(() => app.close());

const send = (body: object, headers: Record<string, string> = {}) =>
  app.call('POST', `/v1/sessions/${sessionId}/messages`, { body: { content: 'hi', ...body }, headers });

describe('an answer', () => {
  it('comes as 200 with the message when its turn is over', async () => {
    const answer = await send({});
    expect([answer.status, answer.body.role, answer.headers.get('location')]).toEqual([
      200,
      'assistant',
      null,
    ]);
  });

  it.each([
    ['background', { background: true }, {}],
    ['Prefer: respond-async', {}, { prefer: 'wait=10, respond-async' }],
  ])('comes later with %s', async (_name, body, headers) => {
    const answer = await send(body, headers as Record<string, string>);
    expect(answer.status).toBe(202);
    const location = answer.headers.get('location') as string;
    expect(location).toBe(`/v1/sessions/${sessionId}/messages/${answer.body.id}`);
    expect((await app.call('GET', location)).body.id).toBe(answer.body.id);
  });

  it('to a retry in the background is 202 until the turn has ended, and then 200', async () => {
    const retry = () => send({ background: true }, { 'idempotency-key': 'background' });
    const first = await retry();
    const reply = app.messages.get(first.body.id)!;
    const seen = [];
    for (const status of ['queued', 'in_progress', 'requires_action', ...TERMINAL_STATUSES] as const) {
      app.messages.set(reply.id, { ...reply, status });
      const { headers, body, ...again } = await retry();
      expect([body.id, body.status]).toEqual([reply.id, status]);
      expect(headers.get('location')).toBe(first.headers.get('location'));
      seen.push(again.status);
    }
    expect([first.status, seen]).toEqual([202, [202, 202, 202, 200, 200, 200]]);
  });

  it('comes as 202 when waiting took too long', async () => {
    const wait = app.services.messages.waitForReply;
    app.services.messages.waitForReply = async () => ({
      message: makeMessage({ status: 'in_progress', completed_at: null }),
      settled: false,
    });
    const answer = await send({});
    expect([answer.status, answer.body.status]).toEqual([202, 'in_progress']);
    expect(answer.headers.get('location')).toMatch(/\/messages\/msg_/);
    app.services.messages.waitForReply = wait;
  });

  it('is not both streamed and left for later', async () => {
    expectError(await send({ stream: true }, { prefer: 'respond-async' }), 400, 'invalid_request', 'stream');
  });
});

describe('Idempotency-Key', () => {
  const create = (key: string, body: object = { model: 'claude-haiku' }, caller = 'a-admin') =>
    app.call('POST', '/v1/sessions', { body, key: caller, headers: { 'idempotency-key': key } });
  const lastIdempotency = () =>
    app.calls.filter(({ name }) => name === 'sessions.create').at(-1)?.arguments[2];

  it('gives a retry the same resource, and says so', async () => {
    const first = await create('retry-1');
    const again = await create('retry-1');
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(again.body.id).toBe(first.body.id);
    expect([first, again].map(({ headers }) => headers.get('idempotent-replayed'))).toEqual([null, 'true']);
    expect(again.headers.get('location')).toBe(`/v1/sessions/${first.body.id}`);
    expectError(
      await create('retry-1', { model: 'other' }),
      422,
      'idempotency_key_reused',
      'Idempotency-Key',
    );
    expect((await create('retry-1', { model: 'claude-haiku' }, 'b-admin')).body.id).not.toBe(first.body.id);
  });

  it('is one key bare and quoted, for one body whatever the order of its fields', async () => {
    await create('"a \\"key\\""', { model: 'm', metadata: { a: '1', b: '2' } });
    const quoted = lastIdempotency();
    await create('a "key"', { metadata: { b: '2', a: '1' }, model: 'm' });
    expect(lastIdempotency()).toEqual(quoted);
    expect(quoted).toEqual({
      key: 'a "key"',
      route: 'POST /v1/sessions',
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  it.each(['', '"', '"open', '"a"b"', '""', 'x'.repeat(256), 'kéy', 'a\tb'])('refuses %p', async (key) => {
    expectError(await create(key), 400, 'invalid_request', 'Idempotency-Key');
  });

  it.each(['x', 'x'.repeat(255), '~!@#', '8e03978e-40d5-43e8-bc93-6894a57f9324'])('takes %p', async (key) => {
    expect((await create(key)).status).toBe(201);
  });

  it('refuses two keys', async () => {
    const received = await app.raw(
      'POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-admin\r\nConnection: close\r\n' +
        'Idempotency-Key: a\r\nIdempotency-Key: b\r\n' +
        'Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{"model":"m"}',
    );
    expect(received).toMatch(/^HTTP\/1.1 400 [\s\S]*"param":"Idempotency-Key"/);
  });
});

describe('ETag', () => {
  it('lets a client keep one resource until it changes', async () => {
    const path = `/v1/sessions/${sessionId}`;
    const etag = (await app.call('GET', path)).headers.get('etag') as string;
    expect(etag).toMatch(/^W\/"[\w-]{27}"$/);
    const same = await app.call('GET', path, { headers: { 'if-none-match': etag } });
    expect([same.status, same.text, same.headers.get('etag')]).toEqual([304, '', etag]);
    expect(same.headers.get('request-id')).toMatch(/^req_/);
    expect(same.headers.get('x-ratelimit-limit')).toBe('100000');
    await app.call('PATCH', path, { body: { model: 'claude-other' } });
    expect((await app.call('GET', path, { headers: { 'if-none-match': etag } })).status).toBe(200);
  });

  it('is neither on lists nor on changes', async () => {
    for (const [method, path] of [
      ['GET', '/v1/sessions'],
      ['PATCH', `/v1/sessions/${sessionId}`],
    ] as const) {
      const answer = await app.call(method, path, method === 'PATCH' ? { body: {} } : {});
      expect([answer.status, answer.headers.get('etag')]).toEqual([200, null]);
    }
  });
});

describe('actions', () => {
  it('answer with the resource, and a deletion is JSON', async () => {
    const { id } = addSession(app);
    expect((await app.call('POST', `/v1/sessions/${id}/complete`)).body.status).toBe('completed');
    expect((await app.call('POST', `/v1/sessions/${id}/archive`)).body.status).toBe('archived');
    expect((await app.call('DELETE', `/v1/sessions/${id}`)).body).toEqual({ id, deleted: true });
    expectError(await app.call('DELETE', `/v1/sessions/${id}`), 404, 'not_found');
  });

  it('make a key once and keep the last admin key', async () => {
    const body = { name: 'ci', level: 'standard' };
    const made = await app.call('POST', '/v1/api-keys', { body });
    expect([made.status, made.body.key]).toEqual([201, 'oclaw_live_secret']);
    const listed = await app.call('GET', '/v1/api-keys');
    expect(listed.body.data[0]).not.toHaveProperty('key');
    expectError(await app.call('DELETE', `/v1/api-keys/${listed.body.data[0].id}`), 409, 'last_admin_key');
  });
});
