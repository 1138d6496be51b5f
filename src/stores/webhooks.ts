// Webhooks and their deliveries, as the API reads and changes them.
import type { Transaction } from 'kysely';
import type { DeliveryStatus } from '../contracts/webhooks.ts';
import { type Keyset, page } from './keyset.ts';
import type { DeliveryRow, Tables, WebhookPatch, WebhookRow } from './schema.ts';
import { locked, type Store } from './store.ts';

/** What has to be there together with the effect. */
type InTransaction = (rows: Transaction<Tables>) => Promise<void>;

/** A row of an account: another account's is none. */
export interface Owned {
  accountId: string;
  id: string;
}

export interface DeliveryQuery extends Keyset {
  webhookId: string;
  status?: DeliveryStatus[];
}

export type WebhooksStore = ReturnType<typeof createWebhooksStore>;

/** @returns the row of the account, locked until the transaction ends. */
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

/** @returns false when the account has `max` of them. */
function insert(store: Store, row: WebhookRow, max: number, first: InTransaction): Promise<boolean> {
  return store.db.transaction().execute(async (rows) => {
    // Of two that are made at once the second counts the first.
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

/** @param change Decides on the locked row. @returns the row as it is then; undefined when there is none. */
function update(
  store: Store,
  owned: Owned,
  change: (row: WebhookRow) => WebhookPatch,
  first: InTransaction,
): Promise<WebhookRow | undefined> {
  return store.db.transaction().execute(async (rows) => {
    const row = await lockWebhook(store, rows, owned);
    if (!row) return undefined;
    await first(rows);
    const patch = change(row);
    await rows.updateTable('webhooks').set(patch).where('id', '=', row.id).execute();
    return { ...row, ...patch } as WebhookRow;
  });
}

/** Removes an endpoint; what was to be sent to it is not. @returns false when there is none. */
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
    await rows
      .updateTable('deliveries')
      .set({ status: 'cancelled', next_attempt_at: null, completed_at: now })
      .where('webhook_id', '=', row.id)
      .where('status', '=', 'pending')
      .execute();
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
    return page(status ? all.where('status', 'in', status) : all, keyset).execute();
  }

  return {
    getWebhook,
    listWebhooks,
    getDelivery,
    listDeliveries,
    /** @returns false when the account has `max` of them. */
    insertWebhook: (row: WebhookRow, max: number, first: InTransaction) => insert(store, row, max, first),
    updateWebhook: (owned: Owned, change: (row: WebhookRow) => WebhookPatch, first: InTransaction) =>
      update(store, owned, change, first),
    deleteWebhook: (owned: Owned & { now: number }, first: InTransaction) => remove(store, owned, first),
  };
}
