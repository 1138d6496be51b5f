// What the sweep looks for: accepted things that no workflow may know of. Every query is bounded, and begins at what is open: its cost
// does not grow with the sessions that are idle or have ended. Where an index is made for some rows alone, the query spells out which:
// of a parameter no planner knows that they are meant.
import { type Expression, type ExpressionBuilder, type Kysely, type SqlBool, sql } from 'kysely';
import type { MessageStatus } from '../contracts/messages.ts';
import type { SessionRow, Tables } from './schema.ts';
import { claimed, type Store } from './store.ts';

/** Rows taken up in one pass, more than a worker's turns under way; the next pass takes the next ones. */
const ROWS_MAX = 500;

const hasMessage = (sessions: ExpressionBuilder<Tables, 'sessions'>, statuses: MessageStatus[]) =>
  sessions(
    'sessions.id',
    'in',
    sessions.selectFrom('messages').select('messages.session_id').where('messages.status', 'in', statuses),
  );

const isAnswering = (sessions: ExpressionBuilder<Tables, 'sessions'>) =>
  hasMessage(sessions, ['in_progress']);

const owesAnAnswer = (sessions: ExpressionBuilder<Tables, 'sessions'>) =>
  hasMessage(sessions, ['queued', 'in_progress', 'requires_action']);

/** Asked of those alone that owe work: so many more may wait. */
const waitsForResults = ({ exists, selectFrom }: ExpressionBuilder<Tables, 'sessions'>) =>
  exists(
    selectFrom('messages')
      .select('messages.id')
      .whereRef('messages.session_id', '=', 'sessions.id')
      .where('messages.status', '=', 'requires_action'),
  );

/** One that waits for its client's results may wait for weeks: to ask its workflow each time would keep it in memory. */
const owesWork = (sessions: ExpressionBuilder<Tables, 'sessions'>) =>
  sessions.and([hasMessage(sessions, ['queued', 'in_progress']), sessions.not(waitsForResults(sessions))]);

const hasOverdueCall = (sessions: ExpressionBuilder<Tables, 'sessions'>, before: number) =>
  sessions(
    'sessions.id',
    'in',
    sessions
      .selectFrom('tool_calls')
      .select('tool_calls.session_id')
      .where('tool_calls.status', '=', 'awaiting_result')
      .where('tool_calls.expires_at', '<', before),
  );

function erasures(store: Store) {
  /** Deleted sessions whose workflow has heard of that, and whose traces are still to be erased. */
  const claimUnerased = (now: number, nextCheckAt: number): Promise<SessionRow[]> =>
    claim(store, now, nextCheckAt, ({ and, eb, selectFrom }) =>
      and([
        eb('deleted_at', 'is not', null),
        eb('erased_at', 'is', null),
        eb('sessions.id', 'not in', selectFrom('outbox').select('outbox.session_id')),
      ]),
    );

  async function postponeErasure(id: string, checkAt: number, erasedAt: number | null): Promise<void> {
    const patch = { check_at: checkAt, erased_at: erasedAt };
    await store.db.updateTable('sessions').set(patch).where('id', '=', id).execute();
  }

  return { claimUnerased, postponeErasure };
}

export function createSweepStore(store: Store) {
  const { db } = store;

  /** Sessions that owe an answer. */
  const owing = (): Promise<SessionRow[]> =>
    db
      .selectFrom('sessions')
      .selectAll()
      .where('status', '=', 'active')
      .where(owesAnAnswer)
      .limit(ROWS_MAX)
      .execute();

  const unopened = (after: number, before: number) => findUnopened(db, after, before);

  /** Those that owe an answer and were not looked at lately. */
  const claimOwing = (now: number, nextCheckAt: number, everything: boolean): Promise<SessionRow[]> =>
    claimActive(store, now, nextCheckAt, everything ? owesAnAnswer : owesWork);

  /** Sessions with a call whose time was over a while ago, and no workflow has noticed. */
  const claimOverdueCalls = (before: number, now: number, nextCheckAt: number): Promise<SessionRow[]> =>
    claimActive(store, now, nextCheckAt, (sessions) => hasOverdueCall(sessions, before));

  /** Sessions whose idle deadline has passed a while ago without their workflow ending them. */
  const claimOverdue = (before: number, now: number, nextCheckAt: number): Promise<SessionRow[]> =>
    claimActive(store, now, nextCheckAt, (sessions) => sessions('expires_at', '<', before));

  /** Sessions whose deletion was cut short between its two transactions. */
  const halfDeleted = (before: number): Promise<SessionRow[]> =>
    db
      .selectFrom('sessions')
      .selectAll()
      .where('ended_reason', '=', sql.lit('deleted'))
      .where('deleted_at', 'is', null)
      .where('updated_at', '<', before)
      .limit(ROWS_MAX)
      .execute();

  const lostLeases = (worker: string, before: number) => findLostLeases(db, worker, before);

  return {
    lostLeases,
    claimLease: (session: SessionRow, staleAt: number) => claimLease(db, session, staleAt),
    owing,
    unopened,
    claimOwing,
    claimOverdue,
    claimOverdueCalls,
    halfDeleted,
    ...erasures(store),
  };
}

/**
 * Of those who have found a lease lost at the same time one goes on; should that one die, the lease is lost again from `staleAt` on.
 * @returns whether it is the caller.
 */
async function claimLease(db: Kysely<Tables>, session: SessionRow, staleAt: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('sessions')
    .set({ lease_renewed_at: staleAt })
    .where('id', '=', session.id)
    .where('fence', '=', session.fence)
    .where('lease_renewed_at', '=', session.lease_renewed_at)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Sessions in which a message of this age waits, and no answer is begun. */
const findUnopened = (db: Kysely<Tables>, after: number, before: number): Promise<SessionRow[]> =>
  db
    .selectFrom('sessions')
    .selectAll()
    .where('status', '=', 'active')
    .where('open_reply_id', 'is', null)
    .where('id', 'in', ({ selectFrom }) =>
      selectFrom('messages')
        .select('messages.session_id')
        .where('messages.status', '=', 'queued')
        .where('messages.created_at', '>', after)
        .where('messages.created_at', '<=', before),
    )
    .limit(ROWS_MAX)
    .execute();

/** Replies under way in other workers whose lease nobody has renewed since `before`. Who waits for results has none to renew. */
const findLostLeases = (db: Kysely<Tables>, worker: string, before: number): Promise<SessionRow[]> =>
  db
    .selectFrom('sessions')
    .selectAll()
    .where('lease_renewed_at', '<', before)
    .where(isAnswering)
    .where('lease_worker', '<>', worker)
    .limit(ROWS_MAX)
    .execute();

type Which = (sessions: ExpressionBuilder<Tables, 'sessions'>) => Expression<SqlBool>;

const claimActive = (store: Store, now: number, nextCheckAt: number, which: Which): Promise<SessionRow[]> =>
  claim(store, now, nextCheckAt, (sessions) =>
    sessions.and([sessions('status', '=', 'active'), which(sessions)]),
  );

/** Sessions that have not been checked lately. Moving `check_at` claims them. */
function claim(store: Store, now: number, nextCheckAt: number, which: Which): Promise<SessionRow[]> {
  return store.db.transaction().execute(async (rows) => {
    const wanted = rows
      .selectFrom('sessions')
      .selectAll()
      .where(which)
      .where('check_at', '<=', now)
      .orderBy('check_at')
      .limit(ROWS_MAX);
    const found = await claimed(store, wanted).execute();
    const ids = found.map((row) => row.id);
    if (ids.length > 0)
      await rows.updateTable('sessions').set({ check_at: nextCheckAt }).where('id', 'in', ids).execute();
    return found;
  });
}
