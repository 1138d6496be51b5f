// Webhooks and the session's workflow: a word that is lost, a run that is lost, runs that follow each other, dead receivers.
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';
import { isLong } from '../support/long.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';

let engine: TestEngine;
const receivers: Receiver[] = [];
beforeAll(async () => {
  engine = await startTestEngine({ runBounds: { turnsPerRunMax: 2 } });
});
afterAll(async () => {
  await engine.stop();
  await Promise.all(receivers.map((receiver) => receiver.stop()));
});
afterEach(async () => {
  engine.lost.clear();
  engine.clock.aheadMs = 0;
  // Endpoints of one test hear of no other's sessions.
  await engine.db.deleteFrom('webhooks').execute();
});

async function receiver(answer: Parameters<typeof startReceiver>[0] = 200): Promise<Receiver> {
  const made = await startReceiver(answer);
  receivers.push(made);
  return made;
}

const hook = async ({ url }: Receiver): Promise<string> => (await engine.createWebhook({ url })).id;

const statuses = async (webhook: string) =>
  (await engine.deliveriesOf(webhook)).map(({ status }) => status as string);
const allDelivered = (webhook: string, count: number) =>
  eventually(
    () => statuses(webhook),
    (each) => each.length === count && each.every((status) => status === 'delivered'),
  );

test('what a workflow was never told of is sent when the sweep finds it', async () => {
  const to = await receiver();
  const webhook = await hook(to);
  engine.lost.add('deliver');
  const session = await engine.createSession();
  await engine.settled(await engine.send(session));
  expect(to.received).toEqual([]);
  engine.lost.clear();
  await engine.sweep.run();
  // It is too young to be lost.
  expect(to.received).toEqual([]);
  engine.clock.aheadMs = 6_000;
  await engine.sweep.run();
  await allDelivered(webhook, 4);
});

test('while its sender is with a session, what is written for it is sent without a word to its workflow', async () => {
  const [silent, good] = [await receiver(() => undefined), await receiver()];
  await hook(silent);
  await engine.db.updateTable('webhooks').set({ events: '["session.created"]' }).execute();
  const webhook = await hook(good);
  const session = await engine.createSession();
  await silent.until((all) => all.length === 1);
  engine.lost.add('deliver');
  await engine.settled(await engine.send(session));
  await allDelivered(webhook, 4);
});

test('what a session owes whose run is lost is sent by another run', async () => {
  const to = await receiver();
  const webhook = await hook(to);
  engine.lost.add('deliver');
  const session = await engine.createSession();
  await engine.settled(await engine.send(session));
  await engine.handle(session).terminate('The test loses it');
  engine.lost.clear();
  engine.clock.aheadMs = 6_000;
  await engine.sweep.run();
  await allDelivered(webhook, 4);
});

test('what was left to an endpoint that was never told of it is sent when the sweep finds it', async () => {
  const to = await receiver((_request, response) => response.writeHead(503, { 'retry-after': '1' }).end());
  const webhook = await hook(to);
  await engine.db.updateTable('webhooks').set({ events: '["session.created"]' }).execute();
  engine.lost.add('endpoint');
  await engine.createSession();
  await eventually(
    () => engine.db.selectFrom('deliveries').selectAll().where('webhook_id', '=', webhook).execute(),
    ([row]) => row?.owner === 'endpoint',
  );
  to.answer(200);
  engine.lost.clear();
  // The wait for its second try, and five seconds that nobody came for it.
  engine.clock.aheadMs = 15_000;
  await engine.sweep.run();
  await allDelivered(webhook, 1);
});

test('a session of several runs sends each event once, in order', async () => {
  const to = await receiver();
  const webhook = await hook(to);
  const session = await engine.createSession();
  await engine.settled(await engine.send(session, 'Message 1'));
  const { runId } = await engine.handle(session).describe();
  const sent = [];
  for (let n = 2; n <= 7; n += 1) sent.push(await engine.send(session, `Message ${n}`));
  await Promise.all(sent.map((message) => engine.settled(message)));
  await allDelivered(webhook, 1 + 7 * 3);
  expect((await engine.handle(session).describe()).runId).not.toBe(runId);
  const seqs = to.received.map(({ event }) => event.seq);
  expect(new Set(seqs).size).toBe(1 + 7 * 3);
  expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
});

test('a try that waits for its time when a run ends is made by the next run', async () => {
  const to = await receiver(500);
  const webhook = await hook(to);
  const session = await engine.createSession();
  await to.until((all) => all.length === 1);
  const { runId } = await engine.handle(session).describe();
  to.answer(200);
  for (const text of ['One', 'Two']) await engine.settled(await engine.send(session, text));
  await eventually(
    () => engine.handle(session).describe(),
    (now) => now.runId !== runId,
  );
  await allDelivered(webhook, 7);
});

test('a reply that begins is told of while the model still speaks', async () => {
  const to = await receiver();
  await hook(to);
  const session = await engine.createSession();
  const message = await engine.send(session, 'Hi [[tokens=9]][[silent_after=4]]');
  await to.until((all) => all.filter(({ event }) => event.type === 'message.created').length === 2);
  expect((await engine.messageRow(message.replyId)).status).toBe('in_progress');
  await engine.sessions.interrupt(engine.caller, session);
  await to.until((all) => all.some(({ event }) => event.type === 'message.interrupted'));
});

test('a session whose account has no webhook has nothing of them in its history', async () => {
  const session = await engine.createSession();
  await engine.settled(await engine.send(session));
  const { events } = await engine.handle(session).fetchHistory();
  expect(JSON.stringify(events)).not.toContain('"deliver');
});

/** Deliveries that wait for a receiver that answers nothing. */
const QUEUED = isLong ? 10_000 : 500;

test(`a dead endpoint with ${QUEUED} deliveries queued keeps no other from what happens now`, async () => {
  const [dead, good] = [await receiver(() => undefined), await receiver()];
  const webhook = await hook(dead);
  const session = await engine.createSession();
  await dead.until((all) => all.length > 0);
  const [row] = await engine.db
    .selectFrom('deliveries')
    .selectAll()
    .where('webhook_id', '=', webhook)
    .execute();
  const backlog = Array.from({ length: QUEUED }, (_, n) => ({
    ...row!,
    ...{ id: `dlv_${webhook}_${n}`, owner: 'endpoint' as const, lease_until: null, lease_by: null },
  }));
  for (let from = 0; from < QUEUED; from += 500)
    await engine.db
      .insertInto('deliveries')
      .values(backlog.slice(from, from + 500))
      .execute();
  await engine.gateway.endpoint(webhook);
  // Its own four, and the session's one.
  await dead.until((all) => all.length === 5);
  await hook(good);
  const delays: number[] = [];
  for (let n = 1; n <= 5; n += 1) {
    const message = await engine.send(session, `Message ${n}`);
    await engine.settled(message);
    await good.until((all) => all.length >= 3 * n);
  }
  for (const { atMs, event } of good.received) delays.push(atMs - Date.parse(event.created_at));
  expect(dead.received).toHaveLength(5);
  expect(Math.max(...delays)).toBeLessThan(5_000);
});
