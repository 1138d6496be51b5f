// The reconciler's queries: accepted work that no workflow may know of. Every query is bounded and starts from open work, so its
// cost doesn't grow with idle or ended sessions. Queries spell out the condition of a partial index as a literal, because no
// planner matches a parameter to it.
import { type Expression, type ExpressionBuilder, type Kysely, type SqlBool, sql } from 'kysely';
import type { MessageStatus } from '../contracts/messages.ts';
import type { SessionRow, Tables } from './schema.ts';
import { claimed, type Store } from './store.ts';

/** Rows of one pass, more than a worker has turns in flight. The next pass takes the next rows. */
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

/** Checked only for sessions with queued or running messages, so many other sessions may wait. */
const waitsForResults = ({ exists, selectFrom }: ExpressionBuilder<Tables, 'sessions'>) =>
  exists(
    selectFrom('messages')
      .select('messages.id')
      .whereRef('messages.session_id', '=', 'sessions.id')
      .where('messages.status', '=', 'requires_action'),
  );

/** Leaves out sessions that wait for results, for weeks perhaps. Querying their workflow each time would keep it in memory. */
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
  /** Deleted sessions whose workflow knows of the deletion, with traces still to erase. */
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

  /** Sessions with unanswered messages. */
  const owing = (): Promise<SessionRow[]> =>
    db
      .selectFrom('sessions')
      .selectAll()
      .where('status', '=', 'active')
      .where(owesAnAnswer)
      .limit(ROWS_MAX)
      .execute();

  const unopened = (after: number, before: number) => findUnopened(db, after, before);

  /** Sessions with unanswered messages that were not checked lately. */
  const claimOwing = (now: number, nextCheckAt: number, everything: boolean): Promise<SessionRow[]> =>
    claimActive(store, now, nextCheckAt, everything ? owesAnAnswer : owesWork);

  /** Sessions with a call that timed out before `before` without their workflow noticing. */
  const claimOverdueCalls = (before: number, now: number, nextCheckAt: number): Promise<SessionRow[]> =>
    claimActive(store, now, nextCheckAt, (sessions) => hasOverdueCall(sessions, before));

  /** Sessions whose idle deadline passed before `before` without their workflow ending them. */
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
 * Elects one of the workers that found the same lost lease. If the elected worker dies, the lease counts as lost again from
 * `staleAt`.
 * @returns true for the elected worker.
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

/** Sessions with a queued message of this age and without an open reply. */
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

/** Running replies of other workers whose lease was not renewed since `before`. Replies that wait for results have no lease. */
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
