// Webhooks and their deliveries, as the API reads and changes them.
import { sql, type Transaction } from 'kysely';
import type { DeliveryStatus } from '../contracts/webhooks.ts';
import { cancelPending, insertDeliveries } from './delivery-rows.ts';
import { type Keyset, page } from './keyset.ts';
import { findMissed, queueMissed, type TimeRange } from './missed-events.ts';
import type { DeliveryPatch, DeliveryRow, Tables, WebhookPatch, WebhookRow } from './schema.ts';
import { locked, type Store } from './store.ts';

/** Stays below SQLite's limit on parameters. */
const IDS_PER_UPDATE = 5_000;

/** Writes that belong to the same transaction as the change. */
type InTransaction = (rows: Transaction<Tables>) => Promise<void>;

/** Identifies a row within an account. Rows of other accounts don't match. */
export interface Owned {
  accountId: string;
  id: string;
}

export interface DeliveryQuery extends Keyset {
  webhookId: string;
  status?: DeliveryStatus[];
}

/** Order of events of one commit. A test event has no `seq`. */
const IN_ORDER = sql`coalesce(seq, 0)`;

export type WebhooksStore = ReturnType<typeof createWebhooksStore>;

/** @returns the account's webhook, locked until the transaction ends. */
const lockWebhook = (
  store: Store,
  rows: Transaction<Tables>,
  { accountId, id }: Owned,
): Promise<WebhookRow | undefined> => {
  const wanted = rows
    .selectFrom('webhooks')
    .selectAll()
    .where('id', '=', id)
    .where('account_id', '=', accountId);
  return locked(store, wanted).executeTakeFirst();
};

/** @returns false if the account already has `max` webhooks. */
function insert(store: Store, row: WebhookRow, max: number, first: InTransaction): Promise<boolean> {
  return store.db.transaction().execute(async (rows) => {
    // Of two concurrent inserts, the second counts the first.
    const account = rows.selectFrom('accounts').select('id').where('id', '=', row.account_id);
    await locked(store, account).execute();
    const { count } = await rows
      .selectFrom('webhooks')
      .select(({ fn }) => fn.countAll().as('count'))
      .where('account_id', '=', row.account_id)
      .executeTakeFirstOrThrow();
    if (Number(count) >= max) return false;
    await first(rows);
    await rows.insertInto('webhooks').values(row).execute();
    return true;
  });
}

/** @param change Decides on the locked row. @returns the changed row, or undefined if there is none. */
function update(
  store: Store,
  { now, ...owned }: Owned & { now: number },
  change: (row: WebhookRow) => WebhookPatch,
  first: InTransaction,
): Promise<WebhookRow | undefined> {
  return store.db.transaction().execute(async (rows) => {
    const row = await lockWebhook(store, rows, owned);
    if (!row) return undefined;
    await first(rows);
    const patch = change(row);
    if (patch.status === 'disabled') await cancelPending(rows, { webhook_id: row.id }, now);
    await rows.updateTable('webhooks').set(patch).where('id', '=', row.id).execute();
    return { ...row, ...patch } as WebhookRow;
  });
}

/** Restarts a delivery on its endpoint's schedule. The result of an attempt in flight is discarded. */
const AGAIN: DeliveryPatch = {
  ...{ status: 'pending', owner: 'endpoint', attempt_count: 0, completed_at: null },
  ...{ lease_until: null, lease_by: null },
};

/** Outcome of a requeue: queued again, or the reason against it. */
export type Requeued = 'queued' | 'unknown' | 'no_webhook' | 'disabled' | 'no_body';

function requeue(
  store: Store,
  { accountId, id, now }: Owned & { now: number },
  first: InTransaction,
): Promise<Requeued> {
  return store.db.transaction().execute(async (rows) => {
    const row = await rows
      .selectFrom('deliveries')
      .select(['webhook_id', 'body'])
      .where('id', '=', id)
      .where('account_id', '=', accountId)
      .executeTakeFirst();
    if (!row) return 'unknown';
    const webhook = await lockWebhook(store, rows, { accountId, id: row.webhook_id });
    if (!webhook) return 'no_webhook';
    if (webhook.status === 'disabled') return 'disabled';
    if (row.body === '') return 'no_body';
    await first(rows);
    await rows
      .updateTable('deliveries')
      .set({ ...AGAIN, next_attempt_at: now })
      .where('id', '=', id)
      .where('body', '<>', '')
      .execute();
    return 'queued';
  });
}

interface Replaying extends TimeRange {
  max: number;
  now: number;
}

/** Requeues the deliveries of a time range, in any status. @returns the number queued, or null if there are more than `max`. */
function requeueRange(
  store: Store,
  { id }: WebhookRow,
  { fromMs, toMs, max, now }: Replaying,
): Promise<number | null> {
  return store.db.transaction().execute(async (rows) => {
    const found = await rows
      .selectFrom('deliveries')
      .select('id')
      .where('webhook_id', '=', id)
      .where('created_at', '>=', fromMs)
      .where('created_at', '<', toMs)
      .where('session_id', 'is not', null)
      .where('body', '<>', '')
      .limit(max + 1)
      .execute();
    if (found.length > max) return null;
    const ids = found.map((row) => row.id);
    for (let from = 0; from < ids.length; from += IDS_PER_UPDATE)
      await rows
        .updateTable('deliveries')
        .set({ ...AGAIN, next_attempt_at: now })
        .where('id', 'in', ids.slice(from, from + IDS_PER_UPDATE))
        .where('body', '<>', '')
        .execute();
    return ids.length;
  });
}

/**
 * Queues every event of a time range that the webhook was sent, or would have been sent if enabled.
 * @returns the number queued, or null if there are more than `max`. Nothing is queued then.
 */
async function replay(store: Store, webhook: WebhookRow, range: Replaying): Promise<number | null> {
  const missed = await findMissed(store.db, { webhook, ...range });
  if (missed.length > range.max) return null;
  const queued = await requeueRange(store, webhook, { ...range, max: range.max - missed.length });
  if (queued === null) return null;
  return queued + (await queueMissed(store, { webhook, now: range.now }, missed));
}

/** Removes an endpoint and cancels its pending deliveries. @returns false if there is none. */
function remove(
  store: Store,
  { now, ...owned }: Owned & { now: number },
  first: InTransaction,
): Promise<boolean> {
  return store.db.transaction().execute(async (rows) => {
    const row = await lockWebhook(store, rows, owned);
    if (!row) return false;
    await first(rows);
    await rows.deleteFrom('webhooks').where('id', '=', row.id).execute();
    await cancelPending(rows, { webhook_id: row.id }, now);
    return true;
  });
}

export function createWebhooksStore(store: Store) {
  const { db } = store;

  const getWebhook = ({ accountId, id }: Owned): Promise<WebhookRow | undefined> =>
    db
      .selectFrom('webhooks')
      .selectAll()
      .where('id', '=', id)
      .where('account_id', '=', accountId)
      .executeTakeFirst();

  const listWebhooks = ({ accountId, ...keyset }: Keyset & { accountId: string }): Promise<WebhookRow[]> =>
    page(db.selectFrom('webhooks').selectAll().where('account_id', '=', accountId), keyset).execute();

  const getDelivery = ({ accountId, id }: Owned): Promise<DeliveryRow | undefined> =>
    db
      .selectFrom('deliveries')
      .selectAll()
      .where('id', '=', id)
      .where('account_id', '=', accountId)
      .executeTakeFirst();

  function listDeliveries({ webhookId, status, ...keyset }: DeliveryQuery): Promise<DeliveryRow[]> {
    const all = db.selectFrom('deliveries').selectAll().where('webhook_id', '=', webhookId);
    // Most deliveries are `delivered`, so a scan of all finds them quickly. For rarer statuses an index is faster.
    const asked = status?.includes('delivered') ? sql<DeliveryStatus>`status || ''` : 'status';
    return page(status ? all.where(asked, 'in', status) : all, keyset, [IN_ORDER]).execute();
  }

  const insertDelivery = (row: DeliveryRow, first: InTransaction): Promise<void> =>
    db.transaction().execute(async (rows) => {
      await first(rows);
      await insertDeliveries(rows, [row]);
    });

  return {
    getWebhook,
    insertDelivery,
    requeue: (owned: Owned & { now: number }, first: InTransaction) => requeue(store, owned, first),
    replay: (webhook: WebhookRow, range: Replaying) => replay(store, webhook, range),
    listWebhooks,
    getDelivery,
    listDeliveries,
    /** @returns false if the account already has `max` webhooks. */
    insertWebhook: (row: WebhookRow, max: number, first: InTransaction) => insert(store, row, max, first),
    updateWebhook: (
      owned: Owned & { now: number },
      change: (row: WebhookRow) => WebhookPatch,
      first: InTransaction,
    ) => update(store, owned, change, first),
    deleteWebhook: (owned: Owned & { now: number }, first: InTransaction) => remove(store, owned, first),
  };
}
