// The clock of an api and a worker is set by two hours, forwards, backwards and right again, while they work (acceptance test
// 40). In the short run it is left as it is, and everything else is asked.
import { createApiClient, eventually } from '../support/api-client.ts';
import { type Deployment, startDeployment } from '../support/deployment.ts';
import { createClock } from '../support/faketime.ts';
import { cleanUp } from '../support/process.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';

const JUMPS = [2, 0, -2, 0];
/** A retry whose time a jump has brought about is made; more of them would be a storm. */
const TRIES_PER_JUMP_MAX = 2;
const WINDOW_MS = 60_000;

const clock = createClock();
let deployment: Deployment;
let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
  const env = { ...clock.env, OPENCLAW_EGRESS_ALLOW: '127.0.0.1' };
  deployment = await startDeployment({ apis: 1, workers: 1, env });
}, 90_000);
afterAll(async () => {
  clock.set(0);
  await deployment?.stop();
  await cleanUp();
  await receiver?.stop();
}, 60_000);

/** Tries of each delivery so far. */
const triesOf = (): Map<string, number> => {
  const tries = new Map<string, number>();
  for (const { headers } of receiver.received) {
    const id = String(headers['webhook-id']);
    tries.set(id, (tries.get(id) ?? 0) + 1);
  }
  return tries;
};

it(`turns, tokens, rate windows and retries with a clock at ${JUMPS.join(', ')} hours`, async () => {
  const api = deployment.api();
  const { id } = await api.session();
  const body = { session_ids: [id], scopes: ['read'] };
  const token: string = (await api.post('/v1/client-tokens', body)).body.token;
  const read = () => createApiClient(deployment.baseUrls()[0]!, token).get(`/v1/sessions/${id}`);
  // One that is failing, so that its next try is minutes away.
  receiver.answer(500);
  await api.post('/v1/webhooks', { url: receiver.url, events: ['session.created'] });
  await api.session();
  await receiver.until((all) => all.length >= 2);

  for (const hours of JUMPS) {
    const before = triesOf();
    clock.set(hours);
    for (const n of [1, 2]) {
      const reply = await api.send(id, `At ${hours} hours, ${n}`);
      expect(reply).toMatchObject({ status: 'completed', error: null });
      expect(Math.abs(Date.parse(reply.created_at) - Date.now() - hours * 3_600_000)).toBeLessThan(60_000);
    }
    const { status, headers } = await api.get(`/v1/sessions/${id}`);
    const resetsInMs = Number(headers.get('x-ratelimit-reset')) * 1_000 - Date.now() - hours * 3_600_000;
    expect([status, resetsInMs > -2_000, resetsInMs <= WINDOW_MS + 2_000]).toEqual([200, true, true]);
    // A token that has ended by this clock is refused, and is good again with the time.
    expect([hours, (await read()).status]).toEqual([hours, hours > 0 ? 401 : 200]);
    for (const [event, tries] of triesOf())
      expect(tries - (before.get(event) ?? 0)).toBeLessThanOrEqual(TRIES_PER_JUMP_MAX);
  }
  // What happens now is sent once and at once, whatever the clock was.
  receiver.answer(200);
  const { id: hook } = (await api.post('/v1/webhooks', { url: receiver.url, events: ['message.completed'] }))
    .body;
  await api.send(id, 'At last');
  const deliveries = await eventually(
    async () => (await api.get(`/v1/webhooks/${hook}/deliveries`)).body.data,
    ([first]) => first?.status === 'delivered',
  );
  expect(deliveries).toMatchObject([{ attempts: [{ status_code: 200 }] }]);
}, 180_000);
