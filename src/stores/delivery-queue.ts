// The queue of deliveries as senders use it: find, claim one by one, hand over to the endpoint. A claimed row belongs to its
// sender until the lease ends, so no two senders send the same delivery at once.
import { type ExpressionBuilder, type Kysely, sql } from 'kysely';
import { recordFailure, recordSuccess, type TryResult } from './delivery-results.ts';
import { cancelPending } from './delivery-rows.ts';
import type { DeliveryRow, Tables, WebhookPatch, WebhookRow } from './schema.ts';
import type { Store } from './store.ts';

/** Rows of a session read by one query to find the first delivery of each endpoint. */
const HEADS_READ_MAX = 1_000;
/** Sessions, and endpoints, that one pass of the reconciler receives. */
const STUCK_MAX = 500;

const HEAD = ['id', 'webhook_id', 'attempt_count', 'next_attempt_at', 'lease_until'] as const;
export type DeliveryHead = Pick<DeliveryRow, (typeof HEAD)[number]>;

export interface Lease {
  by: string;
  untilMs: number;
}

export type DeliveryQueue = ReturnType<typeof createDeliveryQueue>;

const isFree =
  (at: number) =>
  ({ or, eb }: ExpressionBuilder<Tables, 'deliveries'>) =>
    or([eb('lease_until', 'is', null), eb('lease_until', '<=', at)]);

const ofSession = (db: Kysely<Tables>, sessionId: string) =>
  db
    .selectFrom('deliveries')
    .where('session_id', '=', sessionId)
    .where('status', '=', 'pending')
    .where('owner', '=', 'session')
    .orderBy('seq');

const ofEndpoint = (db: Kysely<Tables>, webhookId: string) =>
  db
    .selectFrom('deliveries')
    .where('webhook_id', '=', webhookId)
    .where('status', '=', 'pending')
    .where('owner', '=', 'endpoint');

/** True if the session itself still has deliveries to send. */
export async function hasPendingDeliveries(db: Kysely<Tables>, sessionId: string): Promise<boolean> {
  return (await ofSession(db, sessionId).select('id').limit(1).executeTakeFirst()) !== undefined;
}

/** When the session's last delivery ended, in either queue. Zero without deliveries, undefined while a delivery is pending. */
export async function lastDeliveryAt(db: Kysely<Tables>, sessionId: string): Promise<number | undefined> {
  const all = db.selectFrom('deliveries').where('session_id', '=', sessionId);
  const pending = await all.select('id').where('status', '=', 'pending').limit(1).executeTakeFirst();
  if (pending) return undefined;
  const last = await all
    .select(({ fn }) => fn.max<number | null>('completed_at').as('at'))
    .executeTakeFirst();
  return Number(last?.at ?? 0);
}

/** The session's next delivery to each endpoint: the first in `seq` order, due or not. */
async function heads(db: Kysely<Tables>, sessionId: string): Promise<DeliveryHead[]> {
  const rows = await ofSession(db, sessionId).select(HEAD).limit(HEADS_READ_MAX).execute();
  const first = new Map<string, DeliveryHead>();
  for (const row of rows) if (!first.has(row.webhook_id)) first.set(row.webhook_id, row);
  return [...first.values()];
}

/** @returns undefined if the delivery isn't pending, or another sender holds it. */
const claim = (db: Kysely<Tables>, id: string, lease: Lease, at: number): Promise<DeliveryRow | undefined> =>
  db
    .updateTable('deliveries')
    .set({ lease_until: lease.untilMs, lease_by: lease.by })
    .where('id', '=', id)
    .where('status', '=', 'pending')
    .where(isFree(at))
    .returningAll()
    .executeTakeFirst();

/** Keeps every sender from the row until `until`. A row that another sender has claimed by now stays unchanged. */
const postpone = (db: Kysely<Tables>, id: string, until: number, at: number) =>
  db
    .updateTable('deliveries')
    .set({ lease_until: until })
    .where('id', '=', id)
    .where('status', '=', 'pending')
    .where('owner', '=', 'session')
    .where(isFree(at))
    .execute();

/** Deliveries due in the endpoint's queue: the longest due first, then in `seq` order. */
async function dueOf(db: Kysely<Tables>, webhookId: string, limit: number, at: number): Promise<string[]> {
  const rows = await ofEndpoint(db, webhookId)
    .select('id')
    .where('next_attempt_at', '<=', at)
    .where(isFree(at))
    .orderBy('next_attempt_at')
    .orderBy('seq')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}

/** When the endpoint's next row is due, or when its lease ends. Null without rows. */
async function nextDueOf(db: Kysely<Tables>, webhookId: string, at: number): Promise<number | null> {
  const free = await ofEndpoint(db, webhookId)
    .select(({ fn }) => fn.min<number | null>('next_attempt_at').as('at'))
    .where(isFree(at))
    .executeTakeFirst();
  const taken = await ofEndpoint(db, webhookId)
    .select(({ fn }) => fn.min<number | null>('lease_until').as('at'))
    .where('lease_until', '>', at)
    .executeTakeFirst();
  const times = [free?.at, taken?.at].flatMap((time) => (time == null ? [] : Number(time)));
  return times.length === 0 ? null : Math.min(...times);
}

/**
 * Sessions and endpoints with rows due before `before` that no sender holds. Endpoints paused by their breaker are left out.
 * Reads one such row per endpoint, because thousands may be pending for an endpoint that is down.
 */
async function stuck(db: Kysely<Tables>, before: number, at: number) {
  const due = db
    .selectFrom('deliveries')
    .where('deliveries.status', '=', 'pending')
    .where('deliveries.next_attempt_at', '<', before)
    .where(isFree(at));
  const sessions = await due
    .select('session_id')
    .distinct()
    .where('owner', '=', 'session')
    .limit(STUCK_MAX)
    .execute();
  const ofWebhook = due
    .select('deliveries.id')
    .where('owner', '=', 'endpoint')
    .where('deliveries.webhook_id', '=', sql.ref<string>('webhooks.id'));
  const endpoints = await db
    .selectFrom('webhooks')
    .select('webhooks.id')
    .where((eb) => eb.or([eb('open_until', 'is', null), eb('open_until', '<', before)]))
    .where((eb) => eb.exists(ofWebhook))
    .limit(STUCK_MAX)
    .execute();
  return {
    sessionIds: sessions.flatMap(({ session_id }) => session_id ?? []),
    webhookIds: endpoints.map(({ id }) => id),
  };
}

/** Moves the session's deliveries for this endpoint to the endpoint's queue. Each row keeps its due time. */
const handOver = (db: Kysely<Tables>, sessionId: string, webhookId: string) =>
  db
    .updateTable('deliveries')
    .set({ owner: 'endpoint' })
    .where('session_id', '=', sessionId)
    .where('webhook_id', '=', webhookId)
    .where('status', '=', 'pending')
    .where('owner', '=', 'session')
    .execute();

const releaseOthers = (db: Kysely<Tables>, sender: string) =>
  db
    .updateTable('deliveries')
    .set({ lease_until: null, lease_by: null })
    .where('status', '=', 'pending')
    .where('lease_until', 'is not', null)
    .where('lease_by', 'not like', `${sender}/%`)
    .execute();

export function createDeliveryQueue({ store, now }: { store: Store; now: () => number }) {
  const { db } = store;
  return {
    webhook: (id: string): Promise<WebhookRow | undefined> =>
      db.selectFrom('webhooks').selectAll().where('id', '=', id).executeTakeFirst(),
    heads: (sessionId: string) => heads(db, sessionId),
    /** The session's next delivery to this endpoint. */
    headOf: (sessionId: string, webhookId: string): Promise<DeliveryHead | undefined> =>
      ofSession(db, sessionId).select(HEAD).where('webhook_id', '=', webhookId).limit(1).executeTakeFirst(),
    claim: (id: string, lease: Lease) => claim(db, id, lease, now()),
    /** Postpones a session's delivery to an endpoint that is at capacity. */
    postpone: (id: string, until: number) => postpone(db, id, until, now()),
    /** Cancels a delivery whose endpoint is deleted or disabled. */
    cancel: (id: string): Promise<void> => cancelPending(db, { id }, now()),
    /** Cancels all pending deliveries of an endpoint that is deleted or disabled. */
    cancelAll: (webhookId: string): Promise<void> => cancelPending(db, { webhook_id: webhookId }, now()),
    recordSuccess: (row: DeliveryRow, result: TryResult): Promise<boolean> =>
      db.transaction().execute((rows) => recordSuccess(rows, row, result)),
    /**
     * @param judge Returns the change of the endpoint's row, given the row with this failure counted.
     * @returns the endpoint's row afterwards. Undefined if the endpoint is deleted or the lease was lost.
     */
    recordFailure: (row: DeliveryRow, result: TryResult, judge: (webhook: WebhookRow) => WebhookPatch) =>
      db.transaction().execute(async (rows) => {
        const webhook = await recordFailure(rows, row, result, judge);
        if (webhook?.status === 'disabled') await cancelPending(rows, { webhook_id: webhook.id }, now());
        return webhook;
      }),
    handOver: (sessionId: string, webhookId: string) => handOver(db, sessionId, webhookId),
    dueOf: (webhookId: string, limit: number) => dueOf(db, webhookId, limit, now()),
    nextDueOf: (webhookId: string) => nextDueOf(db, webhookId, now()),
    stuck: (before: number) => stuck(db, before, now()),
    /** Ends the leases of all senders but this one. Use only when all other senders are known to be dead. */
    releaseOthers: (sender: string) => releaseOthers(db, sender),
  };
}
