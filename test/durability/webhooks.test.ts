// Webhooks when the sender is killed: at the very moment in which a receiver has its request, and while it is down.
import type { ServerResponse } from 'node:http';
import type { Delivery } from '../../src/contracts/webhooks.ts';
import { eventually } from '../support/api-client.ts';
import { isLong } from '../support/long.ts';
import { cleanUp } from '../support/process.ts';
import { type Received, type Receiver, startReceiver } from '../support/receiver.ts';
import { type DevInstallation, RECOVERY_MS_MAX, startDev } from './support/dev-installation.ts';

/** Deliveries whose answer dies with their sender. */
const UNTOLD = isLong ? 200 : 16;
/** Sessions whose deliveries are under way at each kill. */
const SESSIONS = 8;
/** What a sender has recorded before it was killed is not of the count, and costs a round more. */
const ROUNDS_MAX = 2 * (UNTOLD / SESSIONS);
const PER_ROUND = 3 * SESSIONS;

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

async function deliveries(webhook: string): Promise<Delivery[]> {
  const all: Delivery[] = [];
  for (let cursor = ''; ; ) {
    const { body } = await dev.api().get(`/v1/webhooks/${webhook}/deliveries?limit=100${cursor}`);
    all.push(...body.data);
    if (!body.has_more) return all;
    cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`;
  }
}

/** What came, by the event's id. */
function bodiesById(received: Received[]): Map<string, string[]> {
  const bodies = new Map<string, string[]>();
  for (const { headers, body } of received) {
    const id = String(headers['webhook-id']);
    bodies.set(id, [...(bodies.get(id) ?? []), body]);
  }
  return bodies;
}

/** A sender whose answer was recorded does not come again. */
const untold = (): number =>
  [...bodiesById(receiver.received).values()].filter((all) => all.length > 1).length;

/** Resolves in the moment in which a delivery of each session has been answered, which nobody can have recorded yet. */
const allAnswered = (): Promise<void> =>
  new Promise((resolve) => {
    const held = new Map<string, ServerResponse>();
    receiver.answer(({ event }, response) => {
      held.set(event.session_id, response);
      if (held.size < SESSIONS) return;
      for (const each of held.values()) each.writeHead(200).end();
      resolve();
    });
  });

test(
  `senders that are killed with -9 between their receiver's answer and its record, ${UNTOLD} deliveries: each comes again, with the same id and bytes`,
  async () => {
    const { id: webhook } = (
      await dev
        .api()
        .post('/v1/webhooks', { url: receiver.url, events: ['message.created', 'message.completed'] })
    ).body;
    const sessions = await Promise.all(
      Array.from({ length: SESSIONS }, async () => (await dev.api().session()).id),
    );
    let rounds = 0;
    for (; untold() < UNTOLD && rounds < ROUNDS_MAX; rounds += 1) {
      const answered = allAnswered();
      for (const session of sessions)
        void dev
          .api()
          .post(`/v1/sessions/${session}/messages`, { content: `Message ${rounds}` })
          .catch(() => undefined);
      await answered;
      await server().kill();
      receiver.answer(200);
      await server().revive();
      const progress = async () => ({
        received: bodiesById(receiver.received).size,
        open: (await deliveries(webhook)).filter(({ status }) => status !== 'delivered'),
      });
      const isWhole = ({ received, open }: Awaited<ReturnType<typeof progress>>) =>
        received === PER_ROUND * (rounds + 1) && open.length === 0;
      await eventually(progress, isWhole, RECOVERY_MS_MAX);
    }
    const all = await eventually(
      () => deliveries(webhook),
      (each) => each.every(({ status }) => status === 'delivered'),
      RECOVERY_MS_MAX,
    );
    process.stdout.write(`${untold()} deliveries came again after ${rounds} kills\n`);
    expect(untold()).toBeGreaterThanOrEqual(UNTOLD);
    const bodies = bodiesById(receiver.received);
    expect([...bodies.keys()].sort()).toEqual(all.map(({ event_id }) => event_id).sort());
    expect(all).toHaveLength(PER_ROUND * rounds);
    for (const { event_id, body } of all) expect([...new Set(bodies.get(event_id))]).toEqual([body]);
    await dev.api().delete(`/v1/webhooks/${webhook}`);
  },
  60_000 + ROUNDS_MAX * 30_000,
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
  for (const texts of bodiesById(receiver.received).values()) expect(new Set(texts).size).toBe(1);
  await eventually(
    () => deliveries(webhook),
    (each) => each.length === 5 && each.every(({ status }) => status === 'delivered'),
  );
}, 120_000);
