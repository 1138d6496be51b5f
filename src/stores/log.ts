// The session log, the only appender of events. Every change of a session is one transaction here. It locks the session, changes
// its rows and appends its events together, so `seq` is gap-free in the order of commits.
import { type Kysely, type SelectQueryBuilder, sql, type Transaction } from 'kysely';
import type { EventData, EventType, SessionEvent } from '../contracts/events.ts';
import { stringifyJson } from '../contracts/json.ts';
import { newId } from '../ids.ts';
import { appendDeliveries } from './delivery-rows.ts';
import { toEvent } from './event-rows.ts';
import { createMessageRows, type MessageRows } from './message-rows.ts';
import { insertTells, newTell, type Tell, type Tellable } from './outbox.ts';
import { countFitting } from './page-bytes.ts';
import type {
  EventRow,
  ModelCallRow,
  SessionPatch,
  SessionRow,
  Tables,
  ToolCallRow,
  UsageColumns,
} from './schema.ts';
import { locked, type Store } from './store.ts';

export interface SessionTransaction {
  /** The locked row, with this transaction's patches applied. */
  readonly session: SessionRow;
  readonly messages: MessageRows;
  /** Every table, for the few writes besides messages. Write rows of this session only. */
  readonly rows: Transaction<Tables>;
  readonly now: number;
  patch(fields: SessionPatch): void;
  append<T extends EventType>(type: T, messageId: string | null, data: EventData<T>): void;
  /** Signals the session's workflow after the commit: immediately, or by the reconciler if the process dies first. */
  tell<Signal extends keyof Tellable>(signal: Signal, argument: Tellable[Signal]): void;
  /** Writes the events appended so far, for changes whose events are too long to be in memory together. */
  flush(): Promise<void>;
  /** Includes the events appended by this transaction. */
  readonly seq: number;
}

/** Describes a committed transaction that appended events or signals. */
export interface Committed {
  sessionId: string;
  /** The session's row after the transaction. */
  session: SessionRow;
  seq: number;
  events: readonly Pick<EventRow, 'type' | 'message_id'>[];
  /** True if there are webhook deliveries to send. */
  isDue: boolean;
  /** Signals for the session's workflow, by now rows of the outbox. */
  tells: readonly Tell[];
}

export interface SessionLogOptions {
  store: Store;
  now: () => number;
  /** Called after the commit. A lost call is harmless: readers poll, and the reconciler reads the outbox. */
  committed: (change: Committed) => void;
}

export type SessionLog = ReturnType<typeof createSessionLog>;

/** Rows of one INSERT: seven columns each stay below SQLite's limit on parameters. */
const EVENTS_PER_INSERT = 1_000;

interface ChangeState {
  session: SessionRow;
  patches: SessionPatch;
  events: EventRow[];
  /** The number of events already written. */
  flushedCount: number;
  isDue: boolean;
  tells: Tell[];
}

function openTransaction(store: Store, rows: Transaction<Tables>, session: SessionRow, now: number) {
  const state: ChangeState = { session, patches: {}, events: [], flushedCount: 0, isDue: false, tells: [] };
  const tx: SessionTransaction = {
    get session() {
      return state.session;
    },
    get seq() {
      return session.seq + state.events.length;
    },
    messages: createMessageRows(rows),
    rows,
    now,
    patch(fields) {
      state.session = { ...state.session, ...fields } as SessionRow;
      state.patches = { ...state.patches, ...fields };
    },
    append(type, messageId, data) {
      const seq = session.seq + state.events.length + 1;
      const row = { session_id: session.id, seq, id: newId('evt'), type, message_id: messageId };
      state.events.push({ ...row, data: stringifyJson(data), created_at: now });
    },
    tell(signal, argument) {
      state.tells.push(newTell(signal, argument));
    },
    flush: () => storeEvents(store, rows, state, now),
  };
  return { tx, state };
}

/** Writes the pending events and queues their webhook deliveries. */
async function storeEvents(
  store: Store,
  rows: Transaction<Tables>,
  state: ChangeState,
  now: number,
): Promise<void> {
  const { session } = state;
  const events = state.events.slice(state.flushedCount);
  for (let from = 0; from < events.length; from += EVENTS_PER_INSERT)
    await rows
      .insertInto('events')
      .values(events.slice(from, from + EVENTS_PER_INSERT))
      .execute();
  state.isDue = (await appendDeliveries(store, rows, { session, events, now })) || state.isDue;
  state.flushedCount = state.events.length;
  for (const event of events) event.data = '';
}

/** Writes events, deliveries, signals and the session's row: all or nothing. */
async function storeChanges(
  store: Store,
  rows: Transaction<Tables>,
  state: ChangeState,
  now: number,
): Promise<void> {
  const { events, patches, session, tells } = state;
  if (tells.length > 0) await insertTells(rows, session.id, tells, now);
  if (events.length === 0 && Object.keys(patches).length === 0) return;
  await storeEvents(store, rows, state, now);
  const seq = events.at(-1)?.seq ?? session.seq;
  await rows
    .updateTable('sessions')
    .set({ updated_at: now, ...patches, seq })
    .where('id', '=', session.id)
    .execute();
}

export interface LeaseHolder {
  sessionId: string;
  replyId: string;
  fence: number;
}

export interface LogQuery {
  sessionId: string;
  after: number;
  before?: number;
  /** Default: `asc`. */
  order?: 'asc' | 'desc';
  limit: number;
  types?: readonly EventType[] | null;
  messageId?: string | null;
  /** Limits the total bytes of the events' data, oldest first. The first event is read whatever its size. */
  bytesMax?: number;
}

/** Events after a cursor. */
function wantedEvents(db: Kysely<Tables>, query: Omit<LogQuery, 'bytesMax'>) {
  let wanted = db
    .selectFrom('events')
    .where('session_id', '=', query.sessionId)
    .where('seq', '>', query.after);
  if (query.before !== undefined) wanted = wanted.where('seq', '<', query.before);
  if (query.types) wanted = wanted.where('type', 'in', [...query.types]);
  if (query.messageId) wanted = wanted.where('message_id', '=', query.messageId);
  return wanted.orderBy('seq', query.order ?? 'asc').limit(query.limit);
}

async function readEvents(db: Kysely<Tables>, query: LogQuery): Promise<SessionEvent[]> {
  const wanted = wantedEvents(db, query);
  const { bytesMax } = query;
  const fitting =
    bytesMax === undefined ? wanted : wanted.where('seq', '<=', lastWithin(db, wanted, bytesMax));
  const rows = await fitting.selectAll().execute();
  return rows.map(toEvent);
}

/** The size of an event's data. Both databases know the size without reading the data. */
const dataBytes = sql<number>`octet_length(data)`.as('bytes');

/**
 * Reads as many events as one response may carry, in either order. Reads the sizes first, and whether more events follow, so data
 * beyond the page is never read.
 */
async function readPage(
  db: Kysely<Tables>,
  query: Omit<LogQuery, 'bytesMax'>,
): Promise<{ data: SessionEvent[]; hasMore: boolean }> {
  const found = await wantedEvents(db, { ...query, limit: query.limit + 1 })
    .select(['seq', dataBytes])
    .execute();
  const limit = countFitting(found.slice(0, query.limit).map(({ bytes }) => bytes));
  const seqs = found.slice(0, limit).map(({ seq }) => Number(seq));
  if (seqs.length === 0) return { data: [], hasMore: false };
  // Bounds on both sides: events appended since the first query could otherwise join the page.
  const bounds = { after: Math.min(...seqs) - 1, before: Math.max(...seqs) + 1 };
  return { data: await readEvents(db, { ...query, ...bounds, limit }), hasMore: found.length > limit };
}

/**
 * The `seq` of the last event whose predecessors together stay below `bytesMax`. Reads sizes only: ten times faster for long
 * events than summing up whole rows.
 */
function lastWithin(
  db: Kysely<Tables>,
  wanted: SelectQueryBuilder<Tables, 'events', object>,
  bytesMax: number,
) {
  const sizes = wanted.select(['seq', dataBytes]);
  const before = sql<number>`sum(bytes) over (order by seq) - bytes`;
  const measured = db.selectFrom(sizes.as('sizes')).select(['seq', before.as('bytes_before')]);
  return db
    .selectFrom(measured.as('measured'))
    .select(({ fn }) => fn.max('seq').as('seq'))
    .where('bytes_before', '<', bytesMax);
}

export function createSessionLog({ store, now, committed }: SessionLogOptions) {
  const { db } = store;

  async function run<T>(
    rows: Transaction<Tables>,
    session: SessionRow,
    work: (tx: SessionTransaction) => Promise<T>,
    unlessTold?: Tell,
  ) {
    const at = now();
    const { tx, state } = openTransaction(store, rows, session, at);
    const result = await work(tx);
    if (unlessTold && state.tells.length === 0) state.tells.push(unlessTold);
    await storeChanges(store, rows, state, at);
    const { events, isDue, tells } = state;
    return { result, session: tx.session, events, seq: tx.seq, isDue, tells };
  }

  /** Runs `work` with the session locked. @returns undefined if there is no such session. */
  async function write<T>(
    sessionId: string,
    work: (tx: SessionTransaction) => Promise<T>,
  ): Promise<T | undefined> {
    const done = await db.transaction().execute(async (rows) => {
      const wanted = rows.selectFrom('sessions').selectAll().where('id', '=', sessionId);
      const session = await locked(store, wanted).executeTakeFirst();
      return session && (await run(rows, session, work));
    });
    if (done && done.events.length + done.tells.length > 0) committed({ sessionId, ...done });
    return done?.result;
  }

  /** Inserts the session and runs `work` in the same transaction. The workflow starts with the signals of `work`, if any. */
  async function create<T>(session: SessionRow, work: (tx: SessionTransaction) => Promise<T>): Promise<T> {
    const done = await db.transaction().execute(async (rows) => {
      await rows.insertInto('sessions').values(session).execute();
      return run(rows, session, work, newTell('start', {}));
    });
    committed({ sessionId: session.id, ...done });
    return done.result;
  }

  /**
   * Renews the lease of the fence's holder, and stores the cost of its model call so far if known. Appends no event, because
   * clients don't need it. @returns true if the caller still holds the fence.
   */
  async function renewLease({ sessionId, replyId, fence }: LeaseHolder, openCall?: string): Promise<boolean> {
    const renewed = { lease_renewed_at: now(), ...(openCall === undefined ? {} : { open_call: openCall }) };
    const { numUpdatedRows } = await db
      .updateTable('sessions')
      .set(renewed)
      .where('id', '=', sessionId)
      .where('fence', '=', fence)
      // A renewal that arrives after the end of its step must not reopen the call.
      .where('open_reply_id', '=', replyId)
      .executeTakeFirst();
    return numUpdatedRows > 0n;
  }

  return {
    ...{ write, create, renewLease },
    read: (query: LogQuery) => readEvents(db, query),
    page: (query: Omit<LogQuery, 'bytesMax'>) => readPage(db, query),
  };
}

/** The text that clients have of each step of a reply: the deltas, without the text withdrawn by a reset. */
async function streamedSteps(db: Kysely<Tables>, replyId: string): Promise<Map<number, string>> {
  const rows = await db
    .selectFrom('events')
    .select(['type', 'data'])
    .where('message_id', '=', replyId)
    .where('type', 'in', ['message.delta', 'message.reset'])
    .orderBy('seq')
    .execute();
  const steps = new Map<number, string>();
  for (const row of rows) {
    const { step, text } = JSON.parse(row.data) as { step: number; text?: string };
    steps.set(step, row.type === 'message.reset' ? '' : (steps.get(step) ?? '') + text);
  }
  return steps;
}

/** The text of a reply as clients have it. */
export async function streamedText(db: Kysely<Tables>, replyId: string): Promise<string> {
  const steps = await streamedSteps(db, replyId);
  return [...steps.keys()]
    .sort((a, b) => a - b)
    .map((step) => steps.get(step))
    .join('');
}

/** The text of one step as clients have it. */
export const streamedStep = async (db: Kysely<Tables>, replyId: string, step: number): Promise<string> =>
  (await streamedSteps(db, replyId)).get(step) ?? '';

/** The `seq` of the event that settled the last of these calls. 0 while no call has a result. */
export async function settledSeq(
  db: Kysely<Tables>,
  replyId: string,
  calls: readonly ToolCallRow[],
): Promise<number> {
  const settledAt = Math.max(0, ...calls.map(({ completed_at }) => Number(completed_at ?? 0)));
  const rows = await db
    .selectFrom('events')
    .select(['seq', 'data'])
    .where('message_id', '=', replyId)
    .where('type', '=', 'tool.completed')
    // Results may be large: reads only events of the millisecond in which the last call was settled.
    .where('created_at', '=', settledAt)
    .orderBy('seq', 'desc')
    .execute();
  const ids = new Set(calls.map(({ id }) => id));
  const last = rows.find(({ data }) =>
    ids.has((JSON.parse(data) as { tool_call: { id: string } }).tool_call.id),
  );
  return Number(last?.seq ?? 0);
}

/** True if an event has already announced this step or a later one. */
export async function stepHasStarted(db: Kysely<Tables>, replyId: string, step: number): Promise<boolean> {
  const last = await db
    .selectFrom('events')
    .select('data')
    .where('message_id', '=', replyId)
    .where('type', '=', 'message.content_started')
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  return last !== undefined && (JSON.parse(last.data) as { step: number }).step >= step;
}

/** True if clients hold text of this step that a new attempt would repeat. */
export async function stepHasStreamed(db: Kysely<Tables>, replyId: string, step: number): Promise<boolean> {
  const rows = await db
    .selectFrom('events')
    .select(['type', 'data'])
    .where('message_id', '=', replyId)
    .where('type', 'in', ['message.delta', 'message.reset'])
    .orderBy('seq', 'desc')
    .limit(1)
    .execute();
  const last = rows[0];
  return last?.type === 'message.delta' && (JSON.parse(last.data) as { step: number }).step === step;
}

export async function recordModelCall(rows: Transaction<Tables>, call: ModelCallRow): Promise<void> {
  await rows.insertInto('model_calls').values(call).execute();
}

export const findModelCall = (db: Kysely<Tables>, id: string): Promise<ModelCallRow | undefined> =>
  db.selectFrom('model_calls').selectAll().where('id', '=', id).executeTakeFirst();

/** Replaces a call's cost by a later and more accurate figure. The outcome stays unchanged. */
export async function correctModelCall(
  rows: Transaction<Tables>,
  id: string,
  usage: UsageColumns,
): Promise<void> {
  await rows.updateTable('model_calls').set(usage).where('id', '=', id).execute();
}

/** The number of failures of a step, by error code. */
export async function countFailedCalls(
  db: Kysely<Tables>,
  replyId: string,
  step: number,
): Promise<Map<string | null, number>> {
  const rows = await db
    .selectFrom('model_calls')
    .select((eb) => ['error_code' as const, eb.fn.countAll().as('count')])
    .where('reply_id', '=', replyId)
    .where('step', '=', step)
    .where('outcome', '=', 'failed')
    .groupBy('error_code')
    .execute();
  return new Map(rows.map(({ error_code, count }) => [error_code, Number(count)]));
}
