// Rows of deliveries: appended with their events, withdrawn with their session or endpoint.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ExpressionBuilder, Kysely, Transaction } from 'kysely';
import { webhookBody } from '../contracts/event-body.ts';
import { isWebhookEvent, type SessionEvent, type WebhookEventType } from '../contracts/events.ts';
import { EVERY_EVENT, type WebhookFilter } from '../contracts/webhooks.ts';
import { newId } from '../ids.ts';
import { toEvent } from './event-rows.ts';
import type { DeliveryRow, EventRow, SessionRow, Tables, WebhookRow } from './schema.ts';
import { kept, type Store } from './store.ts';

/** Rows of one INSERT: seventeen columns each stay below SQLite's limit on parameters. */
const DELIVERIES_PER_INSERT = 1_000;
/** SQLite blocks the event loop for each statement, and tens of thousands may be pending. Other work runs in between. */
const CANCELLED_PER_UPDATE = 1_000;

type Endpoint = Pick<WebhookRow, 'id' | 'account_id' | 'events' | 'filter'>;
type Matched = Pick<SessionRow, 'id' | 'metadata'>;
export type WebhookEvent = SessionEvent & { type: WebhookEventType };

const wants = (names: readonly string[], type: WebhookEventType): boolean =>
  names.includes(EVERY_EVENT) || names.includes(type);

function matches({ session_id, metadata }: WebhookFilter, session: Matched): boolean {
  if (session_id != null && session_id !== session.id) return false;
  const entries = Object.entries(metadata ?? {});
  if (entries.length === 0) return true;
  const has: Record<string, string> = JSON.parse(session.metadata);
  return entries.every(([key, value]) => Object.hasOwn(has, key) && has[key] === value);
}

export const passes = ({ filter }: Pick<Endpoint, 'filter'>, session: Matched): boolean =>
  filter === null || matches(JSON.parse(filter), session);

/** The event names of the endpoints whose filter the session passes, parsed once. */
const listeners = (endpoints: readonly Endpoint[], session: Matched) =>
  endpoints
    .filter((endpoint) => passes(endpoint, session))
    .map(({ events, ...endpoint }) => ({ ...endpoint, names: JSON.parse(events) as string[] }));

const newDelivery = (
  endpoint: Pick<Endpoint, 'id' | 'account_id'>,
  event: WebhookEvent,
  body: string,
  now: number,
): DeliveryRow => ({
  id: newId('dlv'),
  webhook_id: endpoint.id,
  account_id: endpoint.account_id,
  session_id: event.session_id,
  event_id: event.id,
  event_type: event.type,
  seq: event.seq,
  body,
  status: 'pending',
  attempts: '[]',
  attempt_count: 0,
  next_attempt_at: now,
  owner: 'session',
  lease_until: null,
  lease_by: null,
  created_at: now,
  completed_at: null,
});

/** One row for each event and each endpoint that wants it. */
export function deliveriesOf(
  endpoints: readonly Endpoint[],
  session: Matched,
  events: readonly WebhookEvent[],
  now: number,
) {
  const listening = listeners(endpoints, session);
  return events.flatMap((event) => {
    const wanting = listening.filter(({ names }) => wants(names, event.type));
    if (wanting.length === 0) return [];
    const body = webhookBody(event);
    return wanting.map((endpoint) => newDelivery(endpoint, event, body, now));
  });
}

export async function insertDeliveries(rows: Kysely<Tables>, deliveries: DeliveryRow[]): Promise<void> {
  for (let from = 0; from < deliveries.length; from += DELIVERIES_PER_INSERT)
    await rows
      .insertInto('deliveries')
      .values(deliveries.slice(from, from + DELIVERIES_PER_INSERT))
      .execute();
}

interface Appended {
  session: SessionRow;
  events: readonly EventRow[];
  now: number;
}

/**
 * Queues the events for each enabled endpoint of the session's account. Without an event for webhooks it runs no query. Without
 * endpoints it costs one index lookup.
 * @returns true if there are deliveries to send.
 */
export async function appendDeliveries(
  store: Store,
  rows: Transaction<Tables>,
  { session, events, now }: Appended,
): Promise<boolean> {
  const offered = events.filter(({ type }) => isWebhookEvent(type));
  if (offered.length === 0) return false;
  const enabled = rows
    .selectFrom('webhooks')
    .select(['id', 'account_id', 'events', 'filter'])
    .where('account_id', '=', session.account_id)
    .where('status', '=', 'enabled');
  // A concurrent deletion of an endpoint waits for this transaction, and then cancels the deliveries queued here.
  const endpoints = await kept(store, enabled).execute();
  if (endpoints.length === 0) return false;
  const wanted = offered.map((row) => toEvent(row) as WebhookEvent);
  const deliveries = deliveriesOf(endpoints, session, wanted, now);
  await insertDeliveries(rows, deliveries);
  return deliveries.length > 0;
}

/** After the deletion of a session only `session.ended` is still sent, and no copy of the contents is kept. Idempotent. */
export async function withdrawDeliveries(
  rows: Transaction<Tables>,
  sessionId: string,
  now: number,
): Promise<void> {
  const all = rows.updateTable('deliveries').where('session_id', '=', sessionId);
  // Locks the rows first: a concurrent result or requeue commits before the statements below read the status. The later of both
  // transactions removes the body.
  await all.set(({ ref }) => ({ status: ref('status') })).execute();
  await all
    .set({ status: 'cancelled', next_attempt_at: null, completed_at: now })
    .where('status', '=', 'pending')
    .where('event_type', '<>', 'session.ended')
    .execute();
  await all.set({ body: '' }).where('status', '<>', 'pending').where('body', '<>', '').execute();
}

/** Withdraws some deliveries of a deleted session. None of them may be a pending `session.ended`. */
export const withdrawThese = (rows: Transaction<Tables>, ids: string[], now: number) =>
  rows
    .updateTable('deliveries')
    .set(({ eb, ref }) => {
      const waits = eb('status', '=', 'pending');
      return {
        body: '',
        status: eb
          .case()
          .when(waits)
          .then('cancelled' as const)
          .else(ref('status'))
          .end(),
        next_attempt_at: null,
        completed_at: eb.case().when(waits).then(now).else(ref('completed_at')).end(),
      };
    })
    .where('id', 'in', ids);

type Which = Partial<Pick<DeliveryRow, 'id' | 'webhook_id'>>;

const conditions = (which: Which) => (eb: ExpressionBuilder<Tables, 'deliveries'>) => eb.and(which);

/** Clears the body of a deleted session's `session.ended` once the delivery is finished or cancelled. */
export async function forgetTold(rows: Kysely<Tables>, ids: string[]): Promise<void> {
  if (ids.length === 0) return;
  await rows
    .updateTable('deliveries')
    .set({ body: '' })
    .where('id', 'in', ids)
    .where('event_type', '=', 'session.ended')
    .where('status', '<>', 'pending')
    .where('body', '<>', '')
    .where(({ exists, selectFrom }) =>
      exists(
        selectFrom('sessions')
          .select('sessions.id')
          .whereRef('sessions.id', '=', 'deliveries.session_id')
          .where('sessions.deleted_at', 'is not', null),
      ),
    )
    .execute();
}

/**
 * Cancels pending deliveries of an endpoint that is deleted or disabled. The sender of an attempt in flight still records its
 * result, because `lease_by` stays. An index finds the pending rows.
 */
export async function cancelPending(rows: Kysely<Tables>, which: Which, now: number): Promise<void> {
  const some = rows
    .selectFrom('deliveries')
    .select('id')
    .where(conditions(which))
    .where('status', '=', 'pending')
    .limit(CANCELLED_PER_UPDATE);
  for (;;) {
    const cancelled = await rows
      .updateTable('deliveries')
      .set({ status: 'cancelled', next_attempt_at: null, completed_at: now, lease_until: null })
      .where('id', 'in', some)
      // Checked again: a sender may have recorded a result while this statement waited for the row.
      .where('status', '=', 'pending')
      .returning(['id', 'event_type'])
      .execute();
    if (cancelled.length === 0) return;
    const ends = cancelled.filter(({ event_type }) => event_type === 'session.ended');
    // A separate statement, because only a new one sees a session deletion that the update above has waited for.
    await forgetTold(
      rows,
      ends.map(({ id }) => id),
    );
    if (cancelled.length === CANCELLED_PER_UPDATE) await nextTurn();
  }
}
