// Events on their way to receivers: the whole system, and receivers of the test's own.
import { createHmac } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { Webhook } from 'standardwebhooks';
import type { Delivery, WebhookWithSecret } from '../../src/contracts/webhooks.ts';
import { eventually } from '../support/api-client.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { readRunFile } from '../support/run-file.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let system: TestSystem;
let temporal: Client;
const receivers: Receiver[] = [];
beforeAll(async () => {
  system = await startTestSystem();
  temporal = new Client({ connection: await Connection.connect({ address: readRunFile().address }) });
});
afterAll(async () => {
  await system.stop();
  await temporal.connection.close();
  await Promise.all(receivers.map((receiver) => receiver.stop()));
});

async function receiver(answer: Parameters<typeof startReceiver>[0] = 200): Promise<Receiver> {
  const made = await startReceiver(answer);
  receivers.push(made);
  return made;
}

/** An account of its own for each test, so that none hears another's events. */
let accounts = 0;
const account = () => {
  accounts += 1;
  return system.as(`account-${accounts}`, 'standard');
};
type Api = Awaited<ReturnType<typeof account>>;

const hook = async (api: Api, { url }: Receiver, fields = {}): Promise<WebhookWithSecret> =>
  (await api.post('/v1/webhooks', { url, events: ['*'], ...fields })).body;

const deliveries = async (api: Api, { id }: { id: string }): Promise<Delivery[]> =>
  (await api.get(`/v1/webhooks/${id}/deliveries?order=asc&limit=100`)).body.data;

/** The session's log, in order. */
const log = async (api: Api, sessionId: string, types: string[]) => {
  const { data } = (await api.get(`/v1/sessions/${sessionId}/events?limit=100`)).body;
  return data.filter(({ type }: { type: string }) => types.includes(type));
};

const create = async (api: Api, fields = {}): Promise<string> =>
  (await api.post('/v1/sessions', { model: 'claude-haiku', ...fields })).body.id;
const say = (api: Api, id: string, content = 'Hello') => api.post(`/v1/sessions/${id}/messages`, { content });

test('each event of a session is sent once, in order, as the log has it, and verifies', async () => {
  const api = await account();
  const to = await receiver();
  const { secret } = await hook(api, to);
  const session = await create(api);
  await say(api, session);
  await api.post(`/v1/sessions/${session}/complete`);
  const received = await to.until((all) => all.length >= 5);
  expect(to.types()).toEqual([
    'session.created',
    'message.created',
    'message.created',
    'message.completed',
    'session.ended',
  ]);
  expect(received.map(({ event }) => event)).toEqual(await log(api, session, to.types()));
  for (const { headers, body } of received) {
    expect(headers['content-type']).toBe('application/json');
    expect(headers['x-openclaw-signature']).toBe(createHmac('sha256', secret!).update(body).digest('hex'));
    expect(new Webhook(secret!).verify(body, headers as Record<string, string>)).toMatchObject({
      id: headers['webhook-id'],
    });
    expect(JSON.stringify(JSON.parse(body))).toBe(body);
  }
});

test('the run of an ended session is over when its end was delivered, not before', async () => {
  const api = await account();
  let release: () => void = () => undefined;
  const to = await receiver();
  await hook(api, to, { events: ['session.ended'] });
  const session = await create(api);
  await say(api, session);
  to.answer((_request, response) => {
    release = () => response.writeHead(200).end();
  });
  await api.post(`/v1/sessions/${session}/archive`);
  await to.until((all) => all.length === 1);
  const run = async () => (await temporal.workflow.getHandle(session).describe()).status.name;
  expect(await run()).toBe('RUNNING');
  release();
  await eventually(run, (status) => status === 'COMPLETED');
  expect(to.received).toHaveLength(1);
});

test('a webhook of another account, a disabled one and a filtered one hear nothing', async () => {
  const [api, other] = [await account(), await account()];
  const [to, elsewhere, off, filtered] = [
    await receiver(),
    await receiver(),
    await receiver(),
    await receiver(),
  ];
  await hook(api, to);
  await hook(other, elsewhere);
  const { id } = await hook(api, off);
  await api.patch(`/v1/webhooks/${id}`, { status: 'disabled' });
  await hook(api, filtered, { filter: { metadata: { team: 'blue' } } });
  const session = await create(api, { metadata: { team: 'red' } });
  await say(api, session);
  await to.until((all) => all.length >= 4);
  expect([elsewhere.received, off.received, filtered.received]).toEqual([[], [], []]);
});

test('a try that fails is made again with the same id and bytes, while later events of others go on', async () => {
  const api = await account();
  const [bad, good] = [await receiver(500), await receiver()];
  const failing = await hook(api, bad, { events: ['session.created'] });
  await hook(api, good);
  const session = await create(api);
  await bad.until((all) => all.length === 1);
  bad.answer(200);
  await say(api, session);
  await good.until((all) => all.length >= 4);
  // The next try is 5 s later; nothing else waits for it.
  expect(bad.received).toHaveLength(1);
  const [first, second] = await bad.until((all) => all.length === 2);
  expect(second!.body).toBe(first!.body);
  expect(second!.headers['webhook-id']).toBe(first!.headers['webhook-id']);
  const gapMs = second!.atMs - first!.atMs;
  expect(gapMs).toBeGreaterThanOrEqual(4_000);
  const [delivery] = await eventually(
    () => deliveries(api, failing),
    ([each]) => each?.status === 'delivered',
  );
  expect(delivery!.attempts).toMatchObject([
    { status_code: 500, error: 'The endpoint answered 500' },
    { status_code: 200, error: null },
  ]);
});

test('a receiver that answers nothing holds up neither the turn nor another receiver', async () => {
  const api = await account();
  const [silent, good] = [await receiver(() => undefined), await receiver()];
  await hook(api, silent);
  await hook(api, good);
  const session = await create(api);
  const { status } = await say(api, session);
  expect(status).toBe(200);
  await good.until((all) => all.length >= 4);
  expect(silent.received).toHaveLength(1);
  const { body } = await api.get(`/v1/sessions/${session}/state`);
  expect(body).toMatchObject({ phase: 'idle', activity: null });
});

test('410 disables at once, and says why', async () => {
  const api = await account();
  const to = await receiver(410);
  const { id } = await hook(api, to);
  await create(api);
  const { body } = await eventually(
    () => api.get(`/v1/webhooks/${id}`),
    ({ body }) => body.status === 'disabled',
  );
  expect(body.disabled_reason).toMatch(/410/);
  expect(to.received).toHaveLength(1);
  expect((await deliveries(api, { id })).map(({ status }) => status)).toEqual(['failed']);
});

test('of what a receiver answers, its status is shown and nothing else', async () => {
  const api = await account();
  const to = await receiver((_request, response) => {
    response.writeHead(418, 'canary-words', { 'x-canary': 'canary-header' }).end('canary-body');
  });
  const failing = await hook(api, to, { events: ['session.created'] });
  await create(api);
  const shown = await eventually(
    () => deliveries(api, failing),
    ([first]) => (first?.attempts.length ?? 0) > 0,
  );
  expect(shown[0]!.attempts[0]).toEqual({
    ...{ at: expect.any(String), duration_ms: expect.any(Number) },
    ...{ status_code: 418, error: 'The endpoint answered 418' },
  });
  expect(JSON.stringify(shown)).not.toContain('canary');
});

test('an address that must not be reached is refused when it is named', async () => {
  const api = await account();
  const refused = async (url: string) => (await api.post('/v1/webhooks', { url, events: ['*'] })).body.error;
  for (const url of [
    'https://10.0.0.1/',
    'https://169.254.169.254/latest',
    'http://example.com/',
    'https://a:b@example.com/',
  ])
    expect(await refused(url)).toMatchObject({ code: 'invalid_request', param: 'url' });
});
