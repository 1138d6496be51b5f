// Webhooks when the sender is killed: at the very moment in which a receiver has its request, and while it is down.
import type { Delivery } from '../../src/contracts/webhooks.ts';
import { eventually } from '../support/api-client.ts';
import { cleanUp } from '../support/process.ts';
import { type Received, type Receiver, startReceiver } from '../support/receiver.ts';
import { type DevInstallation, RECOVERY_MS_MAX, startDev } from './support/dev-installation.ts';

const isLong = process.env.TEST_LONG === '1';
const KILLS = isLong ? 30 : 3;

let dev: DevInstallation;
let receiver: Receiver;

beforeAll(async () => {
  receiver = await startReceiver();
  dev = await startDev();
}, RECOVERY_MS_MAX);
afterAll(async () => {
  await dev?.stop();
  await receiver?.stop();
  await cleanUp();
});

const server = () => dev.partsNamed(['openclaw'])[0]!;

const deliveries = async (webhook: string): Promise<Delivery[]> =>
  (await dev.api().get(`/v1/webhooks/${webhook}/deliveries?limit=100`)).body.data;

/** What came, by the event's id. */
function bodiesById(received: Received[]): Map<string, Set<string>> {
  const bodies = new Map<string, Set<string>>();
  for (const { headers, body } of received) {
    const id = String(headers['webhook-id']);
    bodies.set(id, (bodies.get(id) ?? new Set()).add(body));
  }
  return bodies;
}

test(
  `a sender that is killed with -9 as its receiver answers, ${KILLS} times: every event arrives, a double with the same id and bytes`,
  async () => {
    const { id: webhook } = (
      await dev
        .api()
        .post('/v1/webhooks', { url: receiver.url, events: ['message.created', 'message.completed'] })
    ).body;
    const { id: session } = await dev.api().session();
    for (let kill = 0; kill < KILLS; kill += 1) {
      const before = receiver.received.length;
      let hit: () => void = () => undefined;
      const isHit = new Promise<void>((resolve) => {
        hit = resolve;
      });
      // Answered and killed in one breath: whether the answer was recorded, nobody knows.
      receiver.answer((_request, response) => {
        response.writeHead(200).end();
        hit();
      });
      void dev
        .api()
        .post(`/v1/sessions/${session}/messages`, { content: `Message ${kill}` })
        .catch(() => undefined);
      await isHit;
      await server().kill();
      receiver.answer(200);
      await server().revive();
      await receiver.until((all) => all.length > before);
    }
    const all = await eventually(
      () => deliveries(webhook),
      (each) => each.length >= 3 * KILLS && each.every(({ status }) => status === 'delivered'),
      60_000,
    );
    const bodies = bodiesById(receiver.received);
    expect([...bodies.keys()].sort()).toEqual(all.map(({ event_id }) => event_id).sort());
    for (const { event_id, body } of all) expect([...(bodies.get(event_id) ?? [])]).toEqual([body]);
    await dev.api().delete(`/v1/webhooks/${webhook}`);
  },
  60_000 + KILLS * 30_000,
);

test('what was accepted by a server that was killed at once is sent after its restart', async () => {
  receiver.received.length = 0;
  const { id: webhook } = (
    await dev.api().post('/v1/webhooks', { url: receiver.url, events: ['session.created'] })
  ).body;
  const sessions = await Promise.all(Array.from({ length: 5 }, async () => (await dev.api().session()).id));
  await server().kill();
  await server().revive();
  await receiver.until((got) => sessions.every((id) => got.some(({ event }) => event.session_id === id)));
  for (const texts of bodiesById(receiver.received).values()) expect(texts.size).toBe(1);
  await eventually(
    () => deliveries(webhook),
    (each) => each.length === 5 && each.every(({ status }) => status === 'delivered'),
  );
}, 120_000);
