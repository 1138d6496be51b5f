// What a webhook is sent because somebody asks for it: a trial, one delivery again, a replay; and with which secret.
import { createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { WEBHOOK_EVENTS } from '../../src/contracts/events.ts';
import type { Delivery } from '../../src/contracts/webhooks.ts';
import { type ApiClient, eventually } from '../support/api-client.ts';
import { type Received, type Receiver, startReceiver } from '../support/receiver.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let system: TestSystem;
let api: ApiClient;
let to: Receiver;
let accounts = 0;
beforeAll(async () => {
  system = await startTestSystem();
});
afterAll(() => system.stop());
beforeEach(async () => {
  accounts += 1;
  api = await system.as(`account ${accounts}`, 'standard');
  to = await startReceiver();
});
afterEach(() => to.stop());

const hook = async (fields: Record<string, unknown> = {}) => {
  const { status, body } = await api.post('/v1/webhooks', { url: to.url, events: ['*'], ...fields });
  expect(status).toBe(201);
  return body;
};
const deliveriesOf = async (id: string): Promise<Delivery[]> =>
  (await api.get(`/v1/webhooks/${id}/deliveries?order=asc`)).body.data;
const delivered = (id: string, count: number) =>
  eventually(
    () => deliveriesOf(id),
    (all) => all.filter(({ status }) => status === 'delivered').length === count,
  );
const hexOf = (secret: string, body: string) => createHmac('sha256', secret).update(body).digest('hex');

describe('a trial', () => {
  const trial = (id: string, body: object = {}, headers = {}) =>
    api.post(`/v1/webhooks/${id}/test`, body, headers);

  test('has the shape of any event there is, says that it is one, and its answer is shown', async () => {
    const { id, secret } = await hook();
    for (const type of WEBHOOK_EVENTS) {
      const { status, body } = await trial(id, { type });
      expect([type, status, body.status, body.event_type]).toEqual([type, 200, 'delivered', type]);
      expect(body).toMatchObject({
        webhook_id: id,
        next_attempt_at: null,
        attempts: [{ status_code: 200, error: null }],
      });
      const got = to.received.at(-1)!;
      expect(got.body).toBe(body.body);
      expect(got.event).toMatchObject({ id: body.event_id, type, test: true, seq: 1 });
      expect(got.headers['x-openclaw-signature']).toBe(hexOf(secret, got.body));
      expect(JSON.stringify(JSON.parse(got.body))).toBe(got.body);
      expect((await api.get(`/v1/deliveries/${body.id}`)).body).toEqual(body);
    }
    expect(to.received).toHaveLength(WEBHOOK_EVENTS.length);
  });

  test('that fails is tried once, and no more', async () => {
    const { id } = await hook({ events: ['tool.called', 'session.created'] });
    to.answer(500);
    const { status, body } = await trial(id);
    expect([status, body.status, body.event_type, body.next_attempt_at]).toEqual([
      200,
      'failed',
      'tool.called',
      null,
    ]);
    expect(body.attempts).toMatchObject([{ status_code: 500, error: expect.stringContaining('500') }]);
    await to.stop();
    const unheard = (await trial(id)).body;
    expect(unheard).toMatchObject({
      status: 'failed',
      attempts: [{ status_code: null, error: expect.any(String) }],
    });
    to = await startReceiver();
  });

  test('works before a webhook is enabled, is made once for a key, and for events only that it can have', async () => {
    const { id } = await hook();
    await api.patch(`/v1/webhooks/${id}`, { status: 'disabled' });
    const key = { 'Idempotency-Key': 'trial' };
    const first = await trial(id, {}, key);
    expect(first.body).toMatchObject({ status: 'delivered', event_type: 'message.completed' });
    const again = await trial(id, {}, key);
    expect([again.headers.get('idempotent-replayed'), again.body]).toEqual(['true', first.body]);
    expect(to.received).toHaveLength(1);
    for (const type of ['message.delta', '*', 'nothing'])
      expect((await trial(id, { type })).body.error).toMatchObject({ param: 'type' });
  });

  test('that is asked for again while the endpoint thinks is shown when it has answered', async () => {
    const { id } = await hook();
    const key = { 'Idempotency-Key': 'slow trial' };
    let answer = () => {};
    to.answer((_request, response) => {
      answer = () => response.writeHead(200).end();
    });
    const first = trial(id, {}, key);
    await to.until((all) => all.length === 1);
    const again = trial(id, {}, key);
    // Whoever did not wait has been told by now that it is pending.
    for (let n = 0; n < 10; n += 1) expect(await deliveriesOf(id)).toMatchObject([{ status: 'pending' }]);
    answer();
    expect((await again).body).toEqual((await first).body);
    expect((await again).body.status).toBe('delivered');
    expect(to.received).toHaveLength(1);
  });
});

test('one delivery is sent again with the same id and bytes, as often as it is asked for', async () => {
  const { id } = await hook({ events: ['session.created'] });
  await api.session();
  const delivery = (await delivered(id, 1))[0]!;
  for (const times of [2, 3]) {
    await api.post(`/v1/deliveries/${delivery.id}/redeliver`);
    await to.until((all) => all.length === times);
    const [now] = await eventually(
      () => deliveriesOf(id),
      ([each]) => each?.status === 'delivered' && each.attempts.length === times,
    );
    expect(now).toMatchObject({ id: delivery.id, body: delivery.body });
  }
  expect(new Set(to.received.map(({ body }) => body))).toEqual(new Set([delivery.body]));
  expect(new Set(to.received.map(({ headers }) => headers['webhook-id']))).toEqual(
    new Set([delivery.event_id]),
  );
});

test('what an endpoint has missed while it was gone arrives, once for each replay, after it is enabled again', async () => {
  const { id } = await hook({ events: ['session.created'] });
  const from = new Date(Date.now()).toISOString();
  const heard = (await api.session()).id;
  await delivered(id, 1);
  to.answer(410);
  const gone = (await api.session()).id;
  await eventually(
    async () => (await api.get(`/v1/webhooks/${id}`)).body,
    ({ status, disabled_reason }) => status === 'disabled' && disabled_reason !== null,
  );
  const unheard = (await api.session()).id;
  to.answer(200);
  await api.patch(`/v1/webhooks/${id}`, { status: 'enabled' });
  const before = to.received.length;
  const range = { from, to: new Date(Date.now() + 1_000).toISOString() };
  for (const times of [1, 2]) {
    expect((await api.post(`/v1/webhooks/${id}/replay`, range)).body).toEqual({ count: 3 });
    await to.until((all) => all.length === before + 3 * times);
    await delivered(id, 3);
  }
  const sent = to.received.slice(before).map(({ event }) => event.session_id);
  expect(sent.toSorted()).toEqual([heard, gone, unheard, heard, gone, unheard].toSorted());
});

test("a deleted session's end is told, and then nothing of it is left", async () => {
  const { id } = await hook({ events: ['session.ended'] });
  const session = await api.session({ metadata: { name: 'a private name' } });
  await api.delete(`/v1/sessions/${session.id}`);
  const [got] = await to.until((all) => all.length === 1);
  expect(got!.event).toMatchObject({ reason: 'deleted', session: { metadata: { name: 'a private name' } } });
  const [delivery] = await eventually(
    () => deliveriesOf(id),
    ([each]) => each?.status === 'delivered' && each.body === null,
  );
  const again = await api.post(`/v1/deliveries/${delivery!.id}/redeliver`);
  expect([again.status, again.body.error.code]).toEqual([404, 'not_found']);
  // An endpoint that never answers is told no more when it is removed, and holds nothing either.
  to.answer(500);
  const other = await api.session({ metadata: { name: 'a private name' } });
  await api.delete(`/v1/sessions/${other.id}`);
  await to.until((all) => all.length >= 2);
  const failing = (await deliveriesOf(id)).at(-1)!;
  await api.delete(`/v1/webhooks/${id}`);
  expect((await api.get(`/v1/deliveries/${failing.id}`)).body).toMatchObject({
    status: 'cancelled',
    body: null,
  });
});

test('that a session is deleted is told also when its end was told before', async () => {
  const { id } = await hook({ events: ['session.ended'] });
  const session = await api.session();
  await api.post(`/v1/sessions/${session.id}/complete`);
  await delivered(id, 1);
  await api.delete(`/v1/sessions/${session.id}`);
  await delivered(id, 2);
  expect(to.received.map(({ event }) => event.reason)).toEqual(['completed', 'deleted']);
});

test('what was queued while nobody sent arrives when somebody does, with its own bytes', async () => {
  const options = { idle: true };
  const stopped = await startTestSystem(options);
  const events = { url: to.url, events: ['session.created'] };
  const { id } = (await stopped.api.post('/v1/webhooks', events)).body;
  await stopped.api.session();
  await stopped.api.session();
  const path = `/v1/webhooks/${id}/deliveries?order=asc`;
  const queued: Delivery[] = (await stopped.api.get(path)).body.data;
  expect(queued.map(({ status, attempts }) => [status, attempts])).toEqual([
    ['pending', []],
    ['pending', []],
  ]);
  expect(to.received).toEqual([]);
  options.idle = false;
  await stopped.restart();
  const received = await to.until((all) => all.length === 2);
  expect(received.map(({ body }) => body).toSorted()).toEqual(queued.map(({ body }) => body).toSorted());
  await stopped.stop();
});

function verifies(by: string, { body, headers }: Received): boolean {
  try {
    return Boolean(new Webhook(by).verify(body, headers as Record<string, string>));
  } catch {
    return false;
  }
}

test('a new secret signs beside the old one until its time, and alone from then on', async () => {
  const { id, secret: old } = await hook({ events: ['session.created'] });
  const activate_at = new Date(Date.now() + 3_600_000).toISOString();
  const { secret } = (await api.post(`/v1/webhooks/${id}/rotate-secret`, { activate_at })).body;
  const next = async (count: number) => {
    await api.session();
    return (await to.until((all) => all.length === count)).at(-1)!;
  };
  const announced = await next(1);
  expect([verifies(old, announced), verifies(secret, announced)]).toEqual([true, true]);
  expect(announced.headers['x-openclaw-signature']).toBe(hexOf(old, announced.body));
  // The library looks at the time of the try, so the way there is short.
  await api.post(`/v1/webhooks/${id}/rotate-secret`, { secret, activate_at: '2020-01-01T00:00:00Z' });
  const inForce = await next(2);
  expect([verifies(old, inForce), verifies(secret, inForce)]).toEqual([false, true]);
  expect(inForce.headers['x-openclaw-signature']).toBe(hexOf(secret, inForce.body));
});

test('while a secret is replaced under load, every try is signed with what is in force at that time', async () => {
  const { id, secret: old } = await hook({ events: ['session.updated'] });
  let isOver = false;
  async function flow(): Promise<void> {
    const session = await api.session();
    for (let n = 0; !isOver; n += 1)
      await api.patch(`/v1/sessions/${session.id}`, { metadata: { n: `${n}` } });
  }
  const flows = Promise.all(Array.from({ length: 4 }, flow));
  const atMs = ({ headers }: Received) => Number(headers['webhook-timestamp']) * 1_000;
  const since = (fromMs: number) => to.until((all) => all.filter((each) => atMs(each) > fromMs).length > 20);
  await since(0);
  const path = `/v1/webhooks/${id}/rotate-secret`;
  const rotate = async (atMs: number, more = {}) =>
    (await api.post(path, { activate_at: new Date(atMs).toISOString(), ...more })).body;
  const beganMs = Date.now();
  const { secret } = await rotate(beganMs + 3_600_000);
  const announcedMs = Date.now();
  await since(announcedMs);
  // A whole second, as the header has them: so it tells on which side of it a try was signed.
  const activeMs = Math.ceil(Date.now() / 1_000) * 1_000 + 1_000;
  await rotate(activeMs, { secret });
  await since(activeMs);
  isOver = true;
  await flows;
  for (const each of to.received) {
    const isActive = atMs(each) >= activeMs;
    expect(verifies(old, each)).toBe(!isActive);
    if (atMs(each) > announcedMs) expect(verifies(secret, each)).toBe(true);
    if (atMs(each) + 1_000 <= beganMs) expect(verifies(secret, each)).toBe(false);
    expect(each.headers['x-openclaw-signature']).toBe(hexOf(isActive ? secret : old, each.body));
  }
  const inForce = to.received.map((each) => `${verifies(old, each)} ${verifies(secret, each)}`);
  expect(new Set(inForce)).toEqual(new Set(['true false', 'true true', 'false true']));
  await api.delete(`/v1/webhooks/${id}`);
});
