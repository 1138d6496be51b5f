// What is sent when, by whom, and what becomes of it: the real store, a clock in the test's hands, and receivers of its own.
import { pino } from 'pino';
import { testDelivery } from '../../src/services/webhooks/test-event.ts';
import type { DeliveryQueue } from '../../src/stores/delivery-queue.ts';
import { isLong } from '../support/long.ts';
import { startReceiver } from '../support/receiver.ts';
import { openTestStore, type TestStore } from '../support/store.ts';
import { answer, createSenders, ids, type Post } from './senders.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const DAY_MS = 24 * 60 * MINUTE_MS;

let nowMs = Date.UTC(2026, 10, 24, 12);
let store: TestStore;
const warnings: { msg: string; [name: string]: unknown }[] = [];
const logger = pino({ level: 'warn' }, { write: (line) => warnings.push(JSON.parse(line)) });

beforeAll(async () => {
  store = await openTestStore({ now: () => nowMs });
});
afterAll(() => store.close());
afterEach(async () => {
  // What happened in one test is in no other's replay.
  nowMs += DAY_MS;
  warnings.length = 0;
  await store.db.deleteFrom('webhooks').execute();
  await store.db.deleteFrom('deliveries').execute();
});

const { processOf, due, status, row, attemptsOf } = createSenders({
  ...{ store: () => store, now: () => nowMs, logger },
});

test('three failures and then a success are four tries of one id and equal bytes, at the times of the schedule', async () => {
  const { webhook, session } = await due();
  const times: number[] = [];
  const sender = processOf(async () => {
    times.push(nowMs);
    return answer(times.length > 3 ? 204 : 500);
  });
  const { session: deliver, endpoint, requests, told } = sender;
  const first = await deliver(session);
  expect(first.againAtMs).toBe(nowMs + 5 * SECOND_MS);
  nowMs += 5 * SECOND_MS;
  expect(await deliver(session, true)).toMatchObject({ againAtMs: null });
  expect(told).toEqual([webhook]);
  for (let at = await endpoint(webhook); at !== null; at = await endpoint(webhook)) nowMs = at;
  expect(times.map((time, n) => time - (times[n - 1] ?? time))).toEqual([
    0,
    5 * SECOND_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
  ]);
  expect(new Set(ids(requests)).size).toBe(1);
  expect(new Set(requests.map(({ body }) => body)).size).toBe(1);
  expect(await status(webhook)).toEqual(['delivered']);
  expect(await row(webhook)).toMatchObject({ failures_in_row: 0, failing_since: null, open_until: null });
});

async function testEvent() {
  const { id } = await store.createWebhook({ url: 'https://example.com/hook', events: ['session.ended'] });
  const webhook = await row(id);
  if (!webhook) throw new Error('The webhook is gone');
  const trial = testDelivery(webhook, 'session.ended', nowMs);
  await store.db.insertInto('deliveries').values(trial).execute();
  return { webhook: id, trial };
}

test('a test delivery whose process died before it was sent is left to the endpoint', async () => {
  const { webhook, trial } = await testEvent();
  const { endpoint, requests } = processOf(async () => answer(200));
  const dueAt = await endpoint(webhook);
  expect(requests).toEqual([]);
  expect(dueAt).toBe(nowMs + 30 * SECOND_MS);
  nowMs = dueAt ?? nowMs;
  expect(await endpoint(webhook)).toBeNull();
  expect(ids(requests)).toEqual([trial.event_id]);
  expect(await status(webhook)).toEqual(['delivered']);
});

test('after ten tries a delivery has failed', async () => {
  const { webhook, session } = await due();
  const began = nowMs;
  let tries = 0;
  const { session: deliver, endpoint } = processOf(async () => {
    tries += 1;
    throw new Error('The request failed: the connection was refused');
  });
  await deliver(session);
  nowMs += 5 * SECOND_MS;
  await deliver(session, true);
  for (let at = await endpoint(webhook); at !== null; at = await endpoint(webhook)) nowMs = at;
  expect(tries).toBe(10);
  expect((nowMs - began) / 3_600_000).toBeCloseTo(75.6, 0);
  expect(await status(webhook)).toEqual(['failed']);
  expect((await attemptsOf(webhook))[0]?.[0]).toMatchObject({
    ...{ status_code: null, error: 'The request failed: the connection was refused' },
  });
});

test('a pause that a busy receiver asks for is kept, and no session waits for it', async () => {
  const { webhook, session } = await due();
  const { session: deliver, endpoint, told } = processOf(async () => answer(503, { 'retry-after': '120' }));
  const began = nowMs;
  expect(await deliver(session)).toMatchObject({ againAtMs: null });
  expect(told).toEqual([webhook]);
  expect(await endpoint(webhook)).toBe(began + 120 * SECOND_MS);
});

test('a session sends in order, and all of it without asking again', async () => {
  const { webhook, session } = await due(20);
  const { session: deliver, requests } = processOf(async () => answer(200));
  await deliver(session);
  const seqs = requests.map(({ body }) => JSON.parse(body).seq);
  expect(seqs).toHaveLength(20);
  expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
  expect(new Set(await status(webhook))).toEqual(new Set(['delivered']));
  // All of them are of one time of this test's clock.
  const listed = (await store.deliveriesOf(webhook)).map(({ body }) => JSON.parse(body ?? '').seq);
  expect(listed).toEqual(seqs);
});

test('what was written by a clock that is ahead is sent at once', async () => {
  nowMs += 60 * SECOND_MS;
  const { webhook, session } = await due(3);
  nowMs -= 60 * SECOND_MS;
  await processOf(async () => answer(200)).session(session);
  expect(await status(webhook)).toEqual(['delivered', 'delivered', 'delivered']);
});

test('two that send for one session at once send nothing twice', async () => {
  const { session } = await due(10);
  const post: Post = async () => {
    await new Promise(setImmediate);
    return answer(200);
  };
  const both = [processOf(post), processOf(post)];
  await Promise.all(both.map((each) => each.session(session)));
  await both[0]!.session(session);
  const requests = both.flatMap((each) => each.requests);
  expect(ids(requests)).toHaveLength(10);
  expect(new Set(ids(requests)).size).toBe(10);
});

test('five days of nothing but failures disable an endpoint, and say so; enabled again it gets each event of a replay', async () => {
  const { webhook, session } = await due();
  let statusCode = 500;
  const { session: deliver, endpoint, requests } = processOf(async () => answer(statusCode));
  const began = nowMs;
  await deliver(session);
  for (let day = 1; day <= 5; day += 1) {
    nowMs = began + day * DAY_MS - (day < 5 ? 0 : 1);
    await store.send(session, `Day ${day}`);
    await deliver(session);
    await endpoint(webhook);
  }
  expect(await row(webhook)).toMatchObject({ status: 'enabled' });
  nowMs = began + 5 * DAY_MS + 6 * MINUTE_MS;
  await endpoint(webhook);
  expect(await row(webhook)).toMatchObject({
    ...{ status: 'disabled', disabled_reason: `Every try since ${new Date(began).toISOString()} has failed` },
  });
  expect(warnings).toMatchObject([{ msg: 'A webhook was disabled', webhookId: webhook }]);
  expect(await status(webhook)).not.toContain('pending');

  await store.services.webhooks.update(store.caller, webhook, { status: 'enabled' }, null);
  statusCode = 200;
  requests.length = 0;
  const range = { from: new Date(began - 1).toISOString(), to: new Date(nowMs + 1).toISOString() };
  const { value } = await store.services.deliveries.replay(store.caller, webhook, range, null);
  for (let at = await endpoint(webhook); at !== null; at = await endpoint(webhook)) nowMs = at;
  expect(value.count).toBe(6);
  expect(new Set(ids(requests)).size).toBe(6);
  expect(requests).toHaveLength(6);
  expect(new Set(await status(webhook))).toEqual(new Set(['delivered']));
});

test('deleting an endpoint ends its tries at once', async () => {
  const { webhook, session } = await due(3);
  const { session: deliver, endpoint, requests } = processOf(async () => answer(500));
  await deliver(session);
  await store.services.webhooks.delete(store.caller, webhook, null);
  nowMs += DAY_MS;
  expect(await deliver(session, true)).toMatchObject({ againAtMs: null });
  expect(await endpoint(webhook)).toBeNull();
  expect(requests).toHaveLength(1);
});

test.each<[string, (made: { webhook: string; session: string }) => Promise<unknown>]>([
  ['session', ({ session }) => store.sessions.delete(store.caller, session)],
  ['endpoint', ({ webhook }) => store.services.webhooks.delete(store.caller, webhook, null)],
])('a try that is under way when its %s is deleted is in the log', async (_what, remove) => {
  const made = await due();
  const { session: deliver } = processOf(async () => {
    await remove(made);
    return answer(200);
  });
  await deliver(made.session);
  expect((await attemptsOf(made.webhook))[0]).toMatchObject([{ status_code: 200 }]);
  const created = store.db
    .selectFrom('deliveries')
    .select('status')
    .where('event_type', '=', 'session.created');
  expect(await created.where('webhook_id', '=', made.webhook).execute()).toEqual([{ status: 'delivered' }]);
});

test('an event whose transaction was rolled back is never sent', async () => {
  const { session } = await due();
  const { session: deliver, requests } = processOf(async () => answer(200));
  const failing = store.log.write(session, async (tx) => {
    tx.append('message.content_started', null, { step: 1 });
    throw new Error('The test rolls back');
  });
  await expect(failing).rejects.toThrow('rolls back');
  await deliver(session);
  expect(requests).toHaveLength(1);
});

test('a test event has one try', async () => {
  const { webhook, trial } = await testEvent();
  const { send } = processOf(async () => answer(500));
  expect(await send(trial.id)).toEqual({ kind: 'failed' });
  nowMs += DAY_MS;
  expect(await processOf(async () => answer(200)).endpoint(webhook)).toBeNull();
  expect(await status(webhook)).toEqual(['failed']);
});

/** Kills between the receiver's 200 and its record. */
const KILLS = isLong ? 200 : 20;

test(`${KILLS} senders that die between the receiver's 200 and its record lose nothing, and doubles have the same id and bytes`, async () => {
  const receiver = await startReceiver();
  const { webhook, session } = await due(KILLS, receiver.url);
  const { queue } = store.sending;
  const post: Post = async ({ url, headers, body }) => {
    const response = await fetch(url, { method: 'POST', headers, body });
    return answer(response.status);
  };
  class Killed extends Error {}
  /** Once the receiver has answered, this process does nothing any more. */
  const dying: DeliveryQueue = { ...queue, recordSuccess: () => Promise.reject(new Killed()) };
  const healthy = () => ({
    ...processOf(post, {
      ...queue,
      recordSuccess: async (...words) => {
        const kept = await queue.recordSuccess(...words);
        // The next one dies again.
        if (kept) throw new Killed();
        return kept;
      },
    }),
  });
  for (let kill = 0; kill < KILLS; kill += 1) {
    await expect(processOf(post, dying).session(session)).rejects.toThrow(Killed);
    // Another process finds it taken, and is told when it may look again.
    const { againAtMs } = await processOf(post).session(session, true);
    expect(againAtMs).toBe(nowMs + 20 * SECOND_MS);
    nowMs = againAtMs!;
    await expect(healthy().session(session, true)).rejects.toThrow(Killed);
  }
  expect(new Set(await status(webhook))).toEqual(new Set(['delivered']));
  const bodies = new Map<string, Set<string>>();
  for (const { headers, body } of receiver.received) {
    const id = String(headers['webhook-id']);
    bodies.set(id, (bodies.get(id) ?? new Set()).add(body));
  }
  expect(bodies.size).toBe(KILLS);
  expect(receiver.received).toHaveLength(2 * KILLS);
  for (const [id, texts] of bodies) {
    expect(texts.size).toBe(1);
    expect(JSON.parse([...texts][0]!).id).toBe(id);
  }
  await receiver.stop();
});
