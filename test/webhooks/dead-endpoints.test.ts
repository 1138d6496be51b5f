// Endpoints that are left alone, that are back, or that answer nothing: who tries what, and whom it keeps waiting.
import { pino } from 'pino';
import type { PostAnswer } from '../../src/egress/post.ts';
import { eventually } from '../support/api-client.ts';
import { openTestStore, type TestStore } from '../support/store.ts';
import { answer, createSenders } from './senders.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

let nowMs = Date.UTC(2026, 10, 24, 12);
let store: TestStore;
beforeAll(async () => {
  store = await openTestStore({ now: () => nowMs });
});
afterAll(() => store.close());
afterEach(async () => {
  await store.db.deleteFrom('webhooks').execute();
  await store.db.deleteFrom('deliveries').execute();
});

const { processOf, due, status, row, attemptsOf } = createSenders({
  ...{ store: () => store, now: () => nowMs, logger: pino({ level: 'silent' }) },
});

test('five failures in a row leave an endpoint alone; one probe finds that it is back, and then all is sent', async () => {
  const { webhook, session } = await due(30);
  await store.sending.queue.handOver(session, webhook);
  let isBack = false;
  let inFlight = 0;
  let most = 0;
  const { endpoint, requests } = processOf(async () => {
    inFlight += 1;
    most = Math.max(most, inFlight);
    await new Promise((resolve) => setTimeout(resolve, 2));
    inFlight -= 1;
    return answer(isBack ? 200 : 500);
  });
  const pausedUntil = await endpoint(webhook);
  const before = requests.length;
  expect(before).toBeGreaterThanOrEqual(5);
  // Those that were on their way when it was the fifth.
  expect(before).toBeLessThanOrEqual(8);
  expect(pausedUntil).toBeGreaterThanOrEqual(nowMs + 30 * SECOND_MS);
  expect(await endpoint(webhook)).toBe(pausedUntil);
  expect(requests).toHaveLength(before);
  nowMs = pausedUntil!;
  const longer = await endpoint(webhook);
  expect(requests).toHaveLength(before + 1);
  expect(longer).toBeGreaterThanOrEqual(nowMs + 60 * SECOND_MS);
  nowMs = longer!;
  isBack = true;
  most = 0;
  for (let at = await endpoint(webhook); at !== null; at = await endpoint(webhook)) nowMs = at;
  expect(most).toBe(4);
  expect(new Set(await status(webhook))).toEqual(new Set(['delivered']));
});

test('what a session has for an endpoint that is left alone is the endpoint’s at once, without a try', async () => {
  const { webhook, session } = await due(3);
  await store.db
    .updateTable('webhooks')
    .set({ open_until: nowMs + MINUTE_MS, failures_in_row: 5 })
    .execute();
  const { session: deliver, told } = processOf(async () => Promise.reject(new Error('Nothing may be sent')));
  expect(await deliver(session)).toMatchObject({ againAtMs: null });
  expect(told).toEqual([webhook]);
  expect((await attemptsOf(webhook)).flat()).toEqual([]);
});

test('many that fail together leave an endpoint alone for as long as five', async () => {
  const { id: webhook } = await store.createWebhook({ url: 'https://example.com/hook' });
  const sessions = await Promise.all(Array.from({ length: 20 }, () => store.createSession()));
  const { session: deliver } = processOf(async () => answer(502));
  await Promise.all(sessions.map((session) => deliver(session)));
  expect(await row(webhook)).toMatchObject({ failures_in_row: 5, open_until: nowMs + 30 * SECOND_MS });
});

test('when a pause is over the endpoint’s own probe is the only try', async () => {
  const { webhook, session } = await due(3);
  await store.db
    .updateTable('webhooks')
    .set({ open_until: nowMs - 1, failures_in_row: 5 })
    .execute();
  const { session: deliver, endpoint, requests, told } = processOf(async () => answer(500));
  expect(await deliver(session)).toMatchObject({ againAtMs: null });
  expect(requests).toEqual([]);
  expect(told).toEqual([webhook]);
  await endpoint(webhook);
  expect(requests).toHaveLength(1);
});

test('an endpoint that answers nothing keeps forty sessions waiting; others wait for none of them, and lose no order', async () => {
  const { id: webhook } = await store.createWebhook({ url: 'https://dead.example/hook' });
  const sessions = await Promise.all(Array.from({ length: 41 }, () => store.createSession()));
  const last = sessions.pop()!;
  let isDead = true;
  const hang: ((answer: PostAnswer) => void)[] = [];
  const sent: string[] = [];
  const { session: deliver } = processOf(async ({ url, body }) => {
    const { session_id, seq } = JSON.parse(body);
    sent.push(`${session_id} ${seq} ${new URL(url).hostname}`);
    if (!isDead || !url.includes('dead')) return answer(200);
    return new Promise((resolve) => hang.push(resolve));
  });
  const waiting = sessions.map((session) => deliver(session));
  await eventually(
    async () => hang,
    ({ length }) => length === 40,
  );
  nowMs += SECOND_MS;
  await store.createWebhook({ url: 'https://alive.example/hook' });
  await store.sessions.update(store.caller, last, { metadata: { n: '2' } });
  expect(await deliver(last)).toMatchObject({ againAtMs: nowMs + 5 * SECOND_MS });
  expect(hang).toHaveLength(40);
  expect(sent.at(-1)).toBe(`${last} 2 alive.example`);
  isDead = false;
  for (const resolve of hang.splice(0)) resolve(answer(200));
  await Promise.all(waiting);
  nowMs += 5 * SECOND_MS;
  await deliver(last, true);
  expect(sent.slice(-2)).toEqual([`${last} 1 dead.example`, `${last} 2 dead.example`]);
  expect(new Set(await status(webhook))).toEqual(new Set(['delivered']));
});
