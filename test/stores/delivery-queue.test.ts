// Deliveries as their senders take them, on both databases.
import { randomUUID } from 'node:crypto';
import type { DeliveryRow, StoredAttempt, WebhookPatch } from '../../src/stores/schema.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

let nowMs = Date.UTC(2026, 10, 24, 12);
let store: TestStore;
beforeAll(async () => {
  store = await openTestStore({ now: () => nowMs });
});
afterAll(() => store.close());

const queue = () => store.sending.queue;
const lease = (by = 'a/1') => ({ by, untilMs: nowMs + 20_000 });
const attempt = (status_code = 200): StoredAttempt => ({
  at: nowMs,
  status_code,
  duration_ms: 5,
  error: null,
});
const delivered = () => ({
  attempt: attempt(),
  patch: { status: 'delivered', next_attempt_at: null, completed_at: nowMs } as const,
});

/** A session whose account has one webhook, or two, for all of its events. */
async function session(hooks = 1) {
  const webhooks = [];
  for (let n = 0; n < hooks; n += 1) {
    const { id } = await store.createWebhook({ url: `https://example.com/${randomUUID()}` });
    webhooks.push(id);
  }
  const id = await store.createSession();
  await store.send(id);
  return { id, webhooks };
}

const rowsOf = (webhookId: string): Promise<DeliveryRow[]> =>
  store.db.selectFrom('deliveries').selectAll().where('webhook_id', '=', webhookId).orderBy('seq').execute();

/** Endpoints of earlier tests hear of no later session. */
afterEach(async () => {
  await store.db.deleteFrom('webhooks').execute();
  await store.db.deleteFrom('deliveries').execute();
});

test("the session's next row of each endpoint is its first in seq order", async () => {
  const { id, webhooks } = await session(2);
  const heads = await queue().heads(id);
  expect(heads.map(({ webhook_id }) => webhook_id).sort()).toEqual([...webhooks].sort());
  for (const webhook of webhooks) {
    const [first] = await rowsOf(webhook);
    expect((await queue().headOf(id, webhook))?.id).toBe(first?.id);
    expect(heads.map((head) => head.id)).toContain(first?.id);
  }
});

test('of many that claim a row one gets it, until its lease is over', async () => {
  const { webhooks } = await session();
  const [row] = await rowsOf(webhooks[0]!);
  const claims = await Promise.all(
    Array.from({ length: 10 }, (_, n) => queue().claim(row!.id, lease(`s/${n}`))),
  );
  expect(claims.filter(Boolean)).toHaveLength(1);
  nowMs += 19_999;
  expect(await queue().claim(row!.id, lease('late/1'))).toBeUndefined();
  nowMs += 1;
  expect(await queue().claim(row!.id, lease('late/1'))).toMatchObject({ id: row!.id, lease_by: 'late/1' });
});

test('what a sender says that has lost its lease is not recorded', async () => {
  const { webhooks } = await session();
  const [row] = await rowsOf(webhooks[0]!);
  const slow = await queue().claim(row!.id, lease('slow/1'));
  nowMs += 20_000;
  const quick = await queue().claim(row!.id, lease('quick/1'));
  expect(await queue().recordSuccess(slow!, delivered())).toBe(false);
  expect((await rowsOf(webhooks[0]!))[0]).toMatchObject({ status: 'pending', attempt_count: 0 });
  expect(await queue().recordSuccess(quick!, delivered())).toBe(true);
  expect((await rowsOf(webhooks[0]!))[0]).toMatchObject({
    ...{ status: 'delivered', attempt_count: 1, lease_by: null, lease_until: null },
  });
  expect(await queue().claim(row!.id, lease('again/1'))).toBeUndefined();
});

test('the ten newest tries are kept, and all are counted', async () => {
  const { webhooks } = await session();
  const [{ id } = { id: '' }] = await rowsOf(webhooks[0]!);
  for (let n = 1; n <= 12; n += 1) {
    const row = await queue().claim(id, lease(`s/${n}`));
    const patch = { owner: 'endpoint', next_attempt_at: nowMs + n } as const;
    await queue().recordFailure(row!, { attempt: attempt(500 + n), patch }, () => ({ open_until: null }));
  }
  const [row] = await rowsOf(webhooks[0]!);
  expect(row?.attempt_count).toBe(12);
  const kept: StoredAttempt[] = JSON.parse(row!.attempts);
  expect(kept.map(({ status_code }) => status_code)).toEqual([
    503, 504, 505, 506, 507, 508, 509, 510, 511, 512,
  ]);
});

test("failures are counted in the endpoint's row, since the first of them, until a success", async () => {
  const { webhooks } = await session();
  const [webhook] = webhooks;
  const rows = await rowsOf(webhook!);
  const since = nowMs;
  const seen: unknown[] = [];
  const fail = async (row: DeliveryRow, patch: WebhookPatch = { open_until: nowMs + 1 }) => {
    const claimed = await queue().claim(row.id, lease());
    const result = { attempt: attempt(500), patch: { next_attempt_at: nowMs } };
    return queue().recordFailure(claimed!, result, ({ failures_in_row, failing_since }) => {
      seen.push([failures_in_row, failing_since]);
      return patch;
    });
  };
  await fail(rows[0]!);
  nowMs += 1_000;
  expect(await fail(rows[0]!)).toMatchObject({ id: webhook, failures_in_row: 2, open_until: nowMs + 1 });
  expect(seen).toEqual([
    [1, since],
    [2, since],
  ]);
  const claimed = await queue().claim(rows[0]!.id, lease());
  await queue().recordSuccess(claimed!, delivered());
  expect(await queue().webhook(webhook!)).toMatchObject({
    failures_in_row: 0,
    failing_since: null,
    open_until: null,
  });
  await fail(rows[1]!, { status: 'disabled', disabled_reason: 'no', open_until: null });
  expect((await rowsOf(webhook!)).map(({ status }) => status)).toEqual(['delivered', 'cancelled']);
});

test('what is left to the endpoint is no longer the session’s, and due at its time', async () => {
  const { id, webhooks } = await session(2);
  const [webhook, other] = [webhooks[0]!, webhooks[1]!];
  await queue().handOver(id, webhook);
  expect((await queue().heads(id)).map(({ webhook_id }) => webhook_id)).toEqual([other]);
  const [first, second] = await rowsOf(webhook);
  expect(await queue().dueOf(webhook, 10)).toEqual([first!.id, second!.id]);
  expect(await queue().dueOf(webhook, 1)).toEqual([first!.id]);
  await queue().claim(first!.id, lease());
  expect(await queue().dueOf(webhook, 10)).toEqual([second!.id]);
  await store.db
    .updateTable('deliveries')
    .set({ next_attempt_at: nowMs + 60_000 })
    .where('id', '=', second!.id)
    .execute();
  expect(await queue().dueOf(webhook, 10)).toEqual([]);
  expect(await queue().nextDueOf(webhook)).toBe(nowMs + 20_000);
  expect(await queue().nextDueOf('wh_none')).toBeNull();
});

test('rows that nobody sends are found, with those whose sender is gone, and not those of an endpoint that is left alone', async () => {
  const [one, two] = [await session(), await session()];
  const webhook = one.webhooks[0]!;
  expect(await queue().stuck(nowMs)).toEqual({ sessionIds: [], webhookIds: [] });
  nowMs += 5_000;
  expect((await queue().stuck(nowMs)).sessionIds.sort()).toEqual([one.id, two.id].sort());
  await queue().handOver(one.id, webhook);
  await queue().handOver(two.id, webhook);
  expect((await queue().stuck(nowMs)).webhookIds).toEqual([webhook]);
  await store.db
    .updateTable('webhooks')
    .set({ open_until: nowMs + 60_000 })
    .where('id', '=', webhook)
    .execute();
  expect((await queue().stuck(nowMs)).webhookIds).toEqual([]);
  await store.db.updateTable('webhooks').set({ open_until: null }).execute();
  for (const { id } of await rowsOf(webhook)) await queue().claim(id, lease('dead/1'));
  expect((await queue().stuck(nowMs)).webhookIds).toEqual([]);
  await queue().releaseOthers('dead');
  expect((await queue().stuck(nowMs)).webhookIds).toEqual([]);
  await queue().releaseOthers('alive');
  expect((await queue().stuck(nowMs)).webhookIds).toEqual([webhook]);
});
