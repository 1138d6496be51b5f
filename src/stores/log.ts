// The session log: the only appender. Every change of a session is one transaction here that locks the session,
// changes its rows and appends its events together, so `seq` is gap-free in the order of commits.
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
  /** Every table, for the few writes that are not messages. All of them belong to this session. */
  readonly rows: Transaction<Tables>;
  readonly now: number;
  patch(fields: SessionPatch): void;
  append<T extends EventType>(type: T, messageId: string | null, data: EventData<T>): void;
  /** The session's workflow hears this after the commit: at once, or from the reconciler when the process dies before. */
  tell<Signal extends keyof Tellable>(signal: Signal, argument: Tellable[Signal]): void;
  /** Writes the events that were appended so far: for a change whose events are too long to be in memory together. */
  flush(): Promise<void>;
  /** Appended so far by this transaction. */
  readonly seq: number;
}

/** What others than the caller may want to know of a transaction that appended or told something. */
export interface Committed {
  sessionId: string;
  /** The row after it. */
  session: SessionRow;
  seq: number;
  events: readonly Pick<EventRow, 'type' | 'message_id'>[];
  /** Whether webhooks are to be sent something of it. */
  isDue: boolean;
  /** Signals for the session's workflow, rows of the outbox by now. */
  tells: readonly Tell[];
}

export interface SessionLogOptions {
  store: Store;
  now: () => number;
  /** Called after the commit. A lost call is harmless: readers look by themselves, and the reconciler reads the outbox. */
  committed: (change: Committed) => void;
}

export type SessionLog = ReturnType<typeof createSessionLog>;

/** Rows of one INSERT: seven columns each stay below SQLite's bound on parameters. */
const EVENTS_PER_INSERT = 1_000;

interface ChangeState {
  session: SessionRow;
  patches: SessionPatch;
  events: EventRow[];
  /** How many of the events are written. */
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

/** Writes the events that are not written yet, and queues what webhooks are to be sent of them. */
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

/** Writes the events, what webhooks are to be sent of them, what the workflow hears, and the row of the session: all, or nothing. */
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
  /** `asc` unless asked otherwise. */
  order?: 'asc' | 'desc';
  limit: number;
  types?: readonly EventType[] | null;
  messageId?: string | null;
  /** Bytes of what the events carry, together, oldest first; the first one is read whatever it has. */
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

/** The bytes of what an event carries, which both databases know without reading it. */
const dataBytes = sql<number>`octet_length(data)`.as('bytes');

/**
 * As many of the events as may be answered with at once, in either order. That is found out first, as well as whether more
 * follow: what is beyond the page is never read.
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
  // These very ones: what is appended meanwhile would be the newest of a page that begins with those.
  const bounds = { after: Math.min(...seqs) - 1, before: Math.max(...seqs) + 1 };
  return { data: await readEvents(db, { ...query, ...bounds, limit }), hasMore: found.length > limit };
}

/**
 * The `seq` of the last event before which the others carry less. Only sizes are looked at: ten times quicker for long events
 * than to sum up whole rows.
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

  /** Runs `work` with the session locked. @returns undefined when there is no such session. */
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

  /** Inserts the session and runs `work` in the same transaction. Its workflow starts, with whatever `work` tells it. */
  async function create<T>(session: SessionRow, work: (tx: SessionTransaction) => Promise<T>): Promise<T> {
    const done = await db.transaction().execute(async (rows) => {
      await rows.insertInto('sessions').values(session).execute();
      return run(rows, session, work, newTell('start', {}));
    });
    committed({ sessionId: session.id, ...done });
    return done.result;
  }

  /**
   * Says that the holder of this fence still lives, and what its model call has cost so far if that is known.
   * No event: readers have no interest in it. @returns whether it holds the fence.
   */
  async function renewLease({ sessionId, replyId, fence }: LeaseHolder, openCall?: string): Promise<boolean> {
    const renewed = { lease_renewed_at: now(), ...(openCall === undefined ? {} : { open_call: openCall }) };
    const { numUpdatedRows } = await db
      .updateTable('sessions')
      .set(renewed)
      .where('id', '=', sessionId)
      .where('fence', '=', fence)
      // A renewal that comes after the end of its step must not open the call again.
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

/** What readers have of each step of a reply: its deltas, without what a reset withdrew. */
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

/** The text of a reply as its readers have it. */
export async function streamedText(db: Kysely<Tables>, replyId: string): Promise<string> {
  const steps = await streamedSteps(db, replyId);
  return [...steps.keys()]
    .sort((a, b) => a - b)
    .map((step) => steps.get(step))
    .join('');
}

/** The text of one step as its readers have it. */
export const streamedStep = async (db: Kysely<Tables>, replyId: string, step: number): Promise<string> =>
  (await streamedSteps(db, replyId)).get(step) ?? '';

/** The `seq` with which the last of these calls of a reply had its result; 0 while none has one. */
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
    // Results may be large: only what was settled in that very millisecond is looked into.
    .where('created_at', '=', settledAt)
    .orderBy('seq', 'desc')
    .execute();
  const ids = new Set(calls.map(({ id }) => id));
  const last = rows.find(({ data }) =>
    ids.has((JSON.parse(data) as { tool_call: { id: string } }).tool_call.id),
  );
  return Number(last?.seq ?? 0);
}

/** Whether readers were told of this step before. */
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

/** Whether readers hold text of this step that a new try would double. */
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

/** A call's later and better known cost in place of the earlier one; how it ended stays as it was. */
export async function correctModelCall(
  rows: Transaction<Tables>,
  id: string,
  usage: UsageColumns,
): Promise<void> {
  await rows.updateTable('model_calls').set(usage).where('id', '=', id).execute();
}

/** How often a step has failed, by the code of the failure. */
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
