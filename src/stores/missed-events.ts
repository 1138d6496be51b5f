// Finds the events that a webhook would have received if it had been enabled, in the logs of its account's sessions.
import type { Kysely, Transaction } from 'kysely';
import { type EventType, WEBHOOK_EVENTS } from '../contracts/events.ts';
import { EVERY_EVENT } from '../contracts/webhooks.ts';
import { deliveriesOf, insertDeliveries, passes, type WebhookEvent } from './delivery-rows.ts';
import { toEvent } from './event-rows.ts';
import type { DeliveryRow, EventRow, SessionRow, Tables, WebhookRow } from './schema.ts';
import { inTurn, kept, type Store } from './store.ts';

/** A range of event times in milliseconds. The end is exclusive. */
export interface TimeRange {
  fromMs: number;
  toMs: number;
}

interface Search extends TimeRange {
  webhook: WebhookRow;
  /** The search ends after more results than this. */
  max: number;
}

type Reference = Pick<EventRow, 'session_id' | 'seq'>;
type Searched = Pick<SessionRow, 'id' | 'created_at' | 'metadata'>;

/** Sessions searched by one query. A query reads their whole logs and, on SQLite, blocks the event loop for as long. */
const SESSIONS_PER_LOOK = 10;
/** Events whose bodies are in memory at once. */
const EVENTS_PER_INSERT = 200;

/** The account's sessions created before the end of the range and changed since its beginning, oldest first. */
function sessionsIn(
  db: Kysely<Tables>,
  { webhook, fromMs, toMs }: Search,
  after: Searched | null,
): Promise<Searched[]> {
  const all = db
    .selectFrom('sessions')
    .select(['id', 'created_at', 'metadata'])
    .where('account_id', '=', webhook.account_id)
    .where('created_at', '<', toMs)
    .where('updated_at', '>=', fromMs)
    .where('deleted_at', 'is', null);
  const rest = after
    ? all.where(({ eb, and, or }) =>
        or([
          eb('created_at', '>', after.created_at),
          and([eb('created_at', '=', after.created_at), eb('id', '>', after.id)]),
        ]),
      )
    : all;
  return rest.orderBy('created_at').orderBy('id').limit(SESSIONS_PER_LOOK).execute();
}

/** A delivery has its event's time, so an index finds it. */
const withoutDelivery = (db: Kysely<Tables>, webhookId: string) =>
  db
    .selectFrom('events')
    .where(({ exists, not, selectFrom }) =>
      not(
        exists(
          selectFrom('deliveries')
            .select('deliveries.id')
            .where('deliveries.webhook_id', '=', webhookId)
            .whereRef('deliveries.created_at', '=', 'events.created_at')
            .whereRef('deliveries.event_id', '=', 'events.id'),
        ),
      ),
    );

const typesOf = ({ events }: WebhookRow): EventType[] => {
  const names: (EventType | typeof EVERY_EVENT)[] = JSON.parse(events);
  return names
    .filter((name) => name !== EVERY_EVENT)
    .concat(names.includes(EVERY_EVENT) ? WEBHOOK_EVENTS : []);
};

function missedBy(db: Kysely<Tables>, sessions: Searched[], search: Search): Promise<Reference[]> {
  const ids = sessions.filter((session) => passes(search.webhook, session)).map(({ id }) => id);
  if (ids.length === 0) return Promise.resolve([]);
  return withoutDelivery(db, search.webhook.id)
    .select(['session_id', 'seq'])
    .where('session_id', 'in', ids)
    .where('type', 'in', typesOf(search.webhook))
    .where('events.created_at', '>=', search.fromMs)
    .where('events.created_at', '<', search.toMs)
    .orderBy('session_id')
    .orderBy('seq')
    .limit(search.max + 1)
    .execute();
}

/** In `seq` order within each session. Leaves out events from before the creation of the webhook. */
export async function findMissed(db: Kysely<Tables>, asked: Search): Promise<Reference[]> {
  const search = { ...asked, fromMs: Math.max(asked.fromMs, asked.webhook.created_at) };
  const found: Reference[] = [];
  let sessions = await sessionsIn(db, search, null);
  while (sessions.length > 0 && found.length <= search.max) {
    found.push(...(await missedBy(db, sessions, search)));
    sessions = await sessionsIn(db, search, sessions.at(-1) ?? null);
  }
  return found;
}

/** Replays of a webhook take turns, so the second finds the deliveries of the first. @returns true if it is still enabled. */
async function takeTurn(store: Store, rows: Transaction<Tables>, webhookId: string): Promise<boolean> {
  const enabled = rows
    .selectFrom('webhooks')
    .select('id')
    .where('id', '=', webhookId)
    .where('status', '=', 'enabled');
  return (await inTurn(store, enabled).executeTakeFirst()) !== undefined;
}

/** Leaves out deleted sessions and locks the others. A later deletion waits for this transaction and withdraws its deliveries. */
async function ofKeptSessions(
  store: Store,
  rows: Transaction<Tables>,
  wanted: readonly Reference[],
): Promise<Reference[]> {
  const sessions = rows
    .selectFrom('sessions')
    .select('id')
    .where('id', 'in', [...new Set(wanted.map(({ session_id }) => session_id))])
    .where('deleted_at', 'is', null)
    .where(({ eb, or }) => or([eb('ended_reason', 'is', null), eb('ended_reason', '!=', 'deleted')]));
  const ids = new Set((await kept(store, sessions).execute()).map(({ id }) => id));
  return wanted.filter(({ session_id }) => ids.has(session_id));
}

async function missedEvents(
  db: Kysely<Tables>,
  webhookId: string,
  wanted: readonly Reference[],
): Promise<WebhookEvent[]> {
  if (wanted.length === 0) return [];
  // Checked again: another replay may have queued the same events.
  const rows = await withoutDelivery(db, webhookId)
    .selectAll()
    .where(({ eb, or, and }) =>
      or(wanted.map(({ session_id, seq }) => and([eb('session_id', '=', session_id), eb('seq', '=', seq)]))),
    )
    .execute();
  return rows.map((row) => toEvent(row) as WebhookEvent);
}

/** The endpoint's workflow sends replayed events, not the session's. */
const asMissed = (delivery: DeliveryRow, { created_at }: WebhookEvent): DeliveryRow => ({
  ...delivery,
  owner: 'endpoint',
  created_at: Date.parse(created_at),
});

interface Queueing {
  webhook: WebhookRow;
  now: number;
}

/** Queues some of the events. @returns the number queued, without events that another replay queued in the meantime. */
async function queueSome(
  store: Store,
  rows: Transaction<Tables>,
  { webhook, now }: Queueing,
  missed: readonly Reference[],
): Promise<number> {
  if (!(await takeTurn(store, rows, webhook.id))) return 0;
  const events = await missedEvents(rows, webhook.id, await ofKeptSessions(store, rows, missed));
  const everything = { ...webhook, filter: null, events: JSON.stringify([EVERY_EVENT]) };
  const deliveries = events.flatMap((event) =>
    deliveriesOf([everything], { id: event.session_id, metadata: '{}' }, [event], now).map((delivery) =>
      asMissed(delivery, event),
    ),
  );
  await insertDeliveries(rows, deliveries);
  return deliveries.length;
}

/** Queues the events in batches. After a crash the next replay finds the rest. @returns the number queued. */
export async function queueMissed(
  store: Store,
  queueing: Queueing,
  missed: readonly Reference[],
): Promise<number> {
  let count = 0;
  for (let from = 0; from < missed.length; from += EVENTS_PER_INSERT) {
    const some = missed.slice(from, from + EVENTS_PER_INSERT);
    count += await store.db.transaction().execute((rows) => queueSome(store, rows, queueing, some));
  }
  return count;
}
