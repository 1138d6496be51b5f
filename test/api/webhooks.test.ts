// Webhooks over HTTP on the real system. Nothing works on it, so that what is queued stays to be looked at.
import type { ApiClient } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let system: TestSystem;
let api: ApiClient;
let clock = 0;
beforeAll(async () => {
  system = await startTestSystem({ idle: true, now: () => Date.now() + clock });
});
afterAll(() => system.stop());

let accounts = 0;
beforeEach(async () => {
  accounts += 1;
  api = await system.as(`account ${accounts}`, 'standard');
});

const URL = 'https://example.com/hook';
const create = (fields: Record<string, unknown> = {}) =>
  api.post('/v1/webhooks', { url: URL, events: ['*'], ...fields });
const hook = async (fields: Record<string, unknown> = {}) => (await create(fields)).body;
const deliveriesOf = async (id: string, query = '') =>
  (await api.get(`/v1/webhooks/${id}/deliveries${query}`)).body.data;

const WEBHOOK = {
  id: expect.stringMatching(/^wh_[A-Za-z0-9]{24}$/),
  url: 'https://your-app.com/webhooks/openclaw',
  events: ['message.completed', 'tool.called', 'session.ended'],
  description: null,
  filter: null,
  status: 'enabled',
  disabled_reason: null,
  created_at: expect.stringMatching(/Z$/),
};

describe('a webhook', () => {
  test('is made as in the guide, and its secret is in no other answer', async () => {
    const { status, body } = await api.post('/v1/webhooks', {
      url: WEBHOOK.url,
      events: WEBHOOK.events,
      secret: 'your_webhook_secret',
    });
    expect([status, body]).toEqual([201, { ...WEBHOOK, secret: 'your_webhook_secret' }]);
    const shown = await api.get(`/v1/webhooks/${body.id}`);
    expect([shown.status, shown.body]).toEqual([200, WEBHOOK]);
    expect(shown.headers.get('etag')).toMatch(/^W\//);
    expect((await api.get('/v1/webhooks')).body).toEqual({
      data: [WEBHOOK],
      has_more: false,
      next_cursor: null,
    });
    expect((await api.patch(`/v1/webhooks/${body.id}`, {})).body).toEqual(WEBHOOK);
  });

  test('gets a secret of its own when none is given, another one each time', async () => {
    const secrets = [(await hook()).secret, (await hook({ secret: null })).secret];
    for (const secret of secrets) expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(secrets[0]).not.toBe(secrets[1]);
  });

  test('may have its scheme and host in capitals, and is kept in the normal form', async () => {
    const { id, url } = await hook({ url: 'HTTPS://Example.COM/Hook' });
    expect(url).toBe('https://example.com/Hook');
    const changed = await api.patch(`/v1/webhooks/${id}`, { url: 'Https://example.com/other' });
    expect([changed.status, changed.body.url]).toEqual([200, 'https://example.com/other']);
  });

  test('can be changed in all but its secret, and what it was told stays told', async () => {
    const { id } = await hook({ description: 'old', filter: { metadata: { a: 'b' } } });
    const changed = await api.patch(`/v1/webhooks/${id}`, {
      url: 'https://example.com/other',
      events: ['session.created'],
      description: 'new',
      filter: { metadata: { a: 'c' } },
    });
    expect([changed.status, changed.body]).toEqual([
      200,
      {
        ...WEBHOOK,
        url: 'https://example.com/other',
        events: ['session.created'],
        description: 'new',
        filter: { session_id: null, metadata: { a: 'c' } },
      },
    ]);
    const cleared = await api.patch(`/v1/webhooks/${id}`, { description: null, filter: null });
    expect(cleared.body).toEqual({ ...changed.body, description: null, filter: null });
    for (const field of ['secret', 'id', 'disabled_reason']) {
      const { status, body } = await api.patch(`/v1/webhooks/${id}`, { [field]: 'x' });
      expect([field, status, body.error.param]).toEqual([field, 400, field]);
    }
  });

  test('that is disabled is queued nothing, and goes on when it is enabled again', async () => {
    const { id } = await hook({ events: ['session.created'] });
    await api.session();
    expect((await api.patch(`/v1/webhooks/${id}`, { status: 'disabled' })).body.status).toBe('disabled');
    await api.session();
    expect((await deliveriesOf(id)).map((each: any) => each.status)).toEqual(['cancelled']);
    await api.patch(`/v1/webhooks/${id}`, { status: 'enabled' });
    clock += 1_000;
    await api.session();
    expect((await deliveriesOf(id)).map((each: any) => each.status)).toEqual(['pending', 'cancelled']);
  });

  test('that is deleted is gone, also for a second DELETE; its deliveries can still be read', async () => {
    const { id } = await hook();
    await api.session();
    const [delivery] = await deliveriesOf(id);
    const gone = await api.delete(`/v1/webhooks/${id}`);
    expect([gone.status, gone.body]).toEqual([200, { id, deleted: true }]);
    expect((await api.delete(`/v1/webhooks/${id}`)).status).toBe(404);
    expect((await api.get(`/v1/webhooks/${id}`)).body.error).toMatchObject({
      code: 'not_found',
      message: 'No such webhook',
    });
    expect((await api.get(`/v1/webhooks/${id}/deliveries`)).status).toBe(404);
    expect((await api.get(`/v1/deliveries/${delivery.id}`)).body.status).toBe('cancelled');
  });

  test('is no business of a read-only key', async () => {
    const { id } = await hook();
    const reader = await system.as(`account ${accounts}`, 'read-only');
    for (const path of ['/v1/webhooks', `/v1/webhooks/${id}`, `/v1/webhooks/${id}/deliveries`])
      expect([path, (await reader.get(path)).status]).toEqual([path, 403]);
  });
});

describe('what is refused', () => {
  const refusals: [string, Record<string, unknown>, string][] = [
    ['no address', { url: 'example.com/hook' }, 'url'],
    ['a file', { url: 'file:///etc/passwd' }, 'url'],
    ['an empty host', { url: 'https://' }, 'url'],
    ['a user name', { url: 'https://me@example.com/' }, 'url'],
    ['a password', { url: 'https://me:secret@example.com/' }, 'url'],
    ['a fragment', { url: 'https://example.com/#part' }, 'url'],
    ['a line break', { url: 'https://example.com/\r\nX-Header: 1' }, 'url'],
    ['a long address', { url: `https://example.com/${'a'.repeat(2_050)}` }, 'url'],
    ['no event', { events: [] }, 'events'],
    ['51 events', { events: Array(51).fill('message.completed') }, 'events'],
    ['an event twice', { events: ['message.completed', 'message.completed'] }, 'events'],
    ['all events and one more', { events: ['*', 'message.completed'] }, 'events'],
    ['an event that there is not', { events: ['message.gone'] }, 'events[0]'],
    ['an event that is for streams', { events: ['session.created', 'message.delta'] }, 'events[1]'],
    ['a long description', { description: 'a'.repeat(501) }, 'description'],
    ['an empty secret', { secret: '' }, 'secret'],
    ['a long secret', { secret: 'a'.repeat(257) }, 'secret'],
    ['an unknown filter', { filter: { model: 'x' } }, 'filter.model'],
    ['metadata that no session can have', { filter: { metadata: { a: 1 } } }, 'filter.metadata.a'],
  ];
  test.each(refusals)('%s', async (_what, fields, param) => {
    const { status, body } = await create(fields);
    expect([status, body.error]).toEqual([400, expect.objectContaining({ code: 'invalid_request', param })]);
    expect(body.error.message).not.toContain('secret@');
    const { id } = await hook();
    if (Object.keys(fields)[0] === 'secret') return;
    for (const path of [`/v1/webhooks/${id}`, '/v1/webhooks/wh_unknown']) {
      const changed = await api.patch(path, fields);
      expect([path, changed.status, changed.body.error.param]).toEqual([path, 400, param]);
    }
  });

  test('a filter for a session that is not of this account', async () => {
    const theirs = await (await system.as('somebody else', 'standard')).session();
    const filter = { session_id: theirs.id };
    expect((await create({ filter })).status).toBe(404);
    const { id } = await hook();
    expect((await api.patch(`/v1/webhooks/${id}`, { filter })).status).toBe(404);
    expect((await create({ filter: { session_id: (await api.session()).id } })).status).toBe(201);
  });
});

describe('deliveries', () => {
  test('are listed newest first, by status, in pages, and each shows the text that is sent', async () => {
    const { id } = await hook({ events: ['session.created', 'session.ended'] });
    const sessions = [];
    for (let n = 0; n < 3; n += 1) {
      clock += 1_000;
      sessions.push((await api.session({ metadata: { n: String(n) } })).id);
    }
    const all = await deliveriesOf(id);
    expect(all.map((each: any) => JSON.parse(each.body).session_id)).toEqual(sessions.toReversed());
    const [newest] = all;
    const [event] = await api.events(sessions[2]);
    expect(newest).toEqual({
      id: expect.stringMatching(/^dlv_[A-Za-z0-9]{24}$/),
      webhook_id: id,
      event_id: event.id,
      event_type: 'session.created',
      status: 'pending',
      attempts: [],
      next_attempt_at: event.created_at,
      body: JSON.stringify(event),
    });
    expect((await api.get(`/v1/deliveries/${newest.id}`)).body).toEqual(newest);

    const first = (await api.get(`/v1/webhooks/${id}/deliveries?limit=2`)).body;
    const rest = (await api.get(`/v1/webhooks/${id}/deliveries?limit=2&cursor=${first.next_cursor}`)).body;
    expect([...first.data, ...rest.data]).toEqual(all);
    expect([first.has_more, rest.has_more]).toEqual([true, false]);
    await api.delete(`/v1/sessions/${sessions[0]}`);
    expect((await deliveriesOf(id, '?status=cancelled')).map((each: any) => each.body)).toEqual([null]);
    expect(await deliveriesOf(id, '?status=pending,cancelled')).toHaveLength(4);
    expect((await api.get(`/v1/webhooks/${id}/deliveries?status=lost`)).body.error.param).toBe('status');
  });

  test('can be sent again: one, or those of a time', async () => {
    const { id } = await hook({ events: ['session.created'] });
    await api.session();
    const [delivery] = await deliveriesOf(id);
    await api.patch(`/v1/webhooks/${id}`, { status: 'disabled' });
    const path = `/v1/deliveries/${delivery.id}/redeliver`;
    expect((await api.post(path)).body.error).toMatchObject({ code: 'invalid_request' });
    await api.patch(`/v1/webhooks/${id}`, { status: 'enabled' });
    expect((await deliveriesOf(id))[0].status).toBe('cancelled');
    clock += 1_000;
    const again = await api.post(path, {});
    expect([again.status, again.body]).toEqual([200, { ...delivery, next_attempt_at: expect.any(String) }]);
    expect(Date.parse(again.body.next_attempt_at)).toBeGreaterThan(Date.parse(delivery.next_attempt_at));

    const replay = (body: object) => api.post(`/v1/webhooks/${id}/replay`, body);
    const [from, to] = [delivery.next_attempt_at, again.body.next_attempt_at];
    const replayed = await replay({ from, to });
    expect([replayed.status, replayed.body]).toEqual([202, { count: 1 }]);
    expect((await replay({ from: to, to: '2100-01-01T00:00:00+02:00' })).body).toEqual({ count: 0 });
    for (const [body, param] of [
      [{ from }, 'to'],
      [{ from, to: 'yesterday' }, 'to'],
      [{ from: to, to: from }, 'to'],
    ] as const)
      expect((await replay(body)).body.error).toMatchObject({ code: 'invalid_request', param });
  });
});

describe('a new secret', () => {
  test('is shown once, given or made', async () => {
    const { id } = await hook({ secret: 'first' });
    const rotate = (body: object, headers = {}) =>
      api.post(`/v1/webhooks/${id}/rotate-secret`, body, headers);
    const { secret, ...shown } = (await rotate({})).body;
    expect(secret).toMatch(/^whsec_/);
    expect(shown).toEqual((await api.get(`/v1/webhooks/${id}`)).body);
    const key = { 'Idempotency-Key': 'rotated' };
    const given = { secret: 'second', activate_at: new Date(Date.now() + clock + 60_000).toISOString() };
    expect((await rotate(given, key)).body.secret).toBe('second');
    const again = await rotate(given, key);
    expect([again.body.secret, again.headers.get('idempotent-replayed')]).toEqual([null, 'true']);
    for (const activate_at of ['soon', '2999-01-01T00:00:00Z', '2026-02-30T00:00:00Z', 5])
      expect((await rotate({ activate_at })).body.error).toMatchObject({
        code: 'invalid_request',
        param: 'activate_at',
      });
    const taken = '2016-12-31t23:59:60.25-00:00';
    expect((await rotate({ activate_at: taken })).status).toBe(200);
    const range = { from: taken, to: '2017-01-01t05:29:61+05:30' };
    expect((await api.post(`/v1/webhooks/${id}/replay`, range)).body.error.param).toBe('to');
    range.to = '2017-01-01t05:30:00.251+05:30';
    expect((await api.post(`/v1/webhooks/${id}/replay`, range)).body).toEqual({ count: 0 });
  });
});
