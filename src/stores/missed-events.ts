// Events that a webhook would have been sent, had it been enabled: found in the logs of its account's sessions.
import type { Kysely } from 'kysely';
import { type EventType, WEBHOOK_EVENTS } from '../contracts/events.ts';
import { EVERY_EVENT } from '../contracts/webhooks.ts';
import { deliveriesOf, insertDeliveries, passes, type WebhookEvent } from './delivery-rows.ts';
import { toEvent } from './event-rows.ts';
import type { DeliveryRow, EventRow, SessionRow, Tables, WebhookRow } from './schema.ts';

/** When events happened, in milliseconds; the end is exclusive. */
export interface TimeRange {
  fromMs: number;
  toMs: number;
}

interface Search extends TimeRange {
  webhook: WebhookRow;
  /** The search ends when it has found more. */
  max: number;
}

type Reference = Pick<EventRow, 'session_id' | 'seq'>;
type Searched = Pick<SessionRow, 'id' | 'created_at' | 'metadata'>;

/** Sessions whose logs are searched by one query: each reads them whole, and SQLite's keep the event loop so long. */
const SESSIONS_PER_LOOK = 10;
/** Events whose bodies are in memory at once. */
const EVENTS_PER_INSERT = 200;

/** The account's sessions that were there in that time and have changed since it began, oldest first. */
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

/** A delivery is as old as its event, so that an index finds it. */
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

/** In order within each session. Nothing from before the webhook was made: nobody had asked for it then. */
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

async function missedEvents(
  db: Kysely<Tables>,
  webhookId: string,
  wanted: readonly Reference[],
): Promise<WebhookEvent[]> {
  // Looked for once more: another replay may have found them, too.
  const rows = await withoutDelivery(db, webhookId)
    .selectAll()
    .where(({ eb, or, and }) =>
      or(wanted.map(({ session_id, seq }) => and([eb('session_id', '=', session_id), eb('seq', '=', seq)]))),
    )
    .execute();
  return rows.map((row) => toEvent(row) as WebhookEvent);
}

/** For the endpoint to send: no session waits for what is past. */
const asMissed = (delivery: DeliveryRow, { created_at }: WebhookEvent): DeliveryRow => ({
  ...delivery,
  owner: 'endpoint',
  created_at: Date.parse(created_at),
});

/** Queues them, some at a time: cut short, the next replay finds the rest. @returns how many. */
export async function queueMissed(
  db: Kysely<Tables>,
  webhook: WebhookRow,
  missed: readonly Reference[],
  now: number,
): Promise<number> {
  const everything = { ...webhook, filter: null, events: JSON.stringify([EVERY_EVENT]) };
  let count = 0;
  for (let from = 0; from < missed.length; from += EVENTS_PER_INSERT)
    await db.transaction().execute(async (rows) => {
      const events = await missedEvents(rows, webhook.id, missed.slice(from, from + EVENTS_PER_INSERT));
      const deliveries = events.flatMap((event) =>
        deliveriesOf([everything], { id: event.session_id, metadata: '{}' }, [event], now).map((delivery) =>
          asMissed(delivery, event),
        ),
      );
      await insertDeliveries(rows, deliveries);
      count += deliveries.length;
    });
  return count;
}
