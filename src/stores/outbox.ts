// The outbox: signals for workflows, each inserted by the transaction that decides it. A row stays until Temporal has accepted
// its signal (docs/decisions/0027-outbox.md).
import { randomInt } from 'node:crypto';
import type { Transaction } from 'kysely';
import type { SignalArguments } from '../../workflows/protocol.ts';
import type { OutboxRow, SessionRow, Tables } from './schema.ts';
import { claimed, type Store } from './store.ts';

/**
 * Signals that a transaction can send: all but `deliver`, whose rows are the deliveries, plus `start` for the workflow's start.
 */
export interface Tellable extends Omit<SignalArguments, 'deliver'> {
  start: Record<string, never>;
}

/** A signal to send after the commit. */
export type Tell = {
  [Signal in keyof Tellable]: { id: number; signal: Signal; argument: Tellable[Signal] };
}[keyof Tellable];

/** A sent signal is acknowledged within milliseconds. The reconciler sends a row that is older than this. */
const LOST_AFTER_MS = 5_000;
/** More turns than a worker has in flight. The next pass claims the next rows. */
const CLAIMED_MAX = 500;
/** Bounds the parameters of one statement. */
const REMOVED_PER_DELETE = 500;
/** Five columns per row. */
const ROWS_PER_INSERT = 1_000;

/** The upper limit of `randomInt`. */
const ID_MAX = 2 ** 48 - 1;

export const newTell = <Signal extends keyof Tellable>(signal: Signal, argument: Tellable[Signal]): Tell =>
  ({ id: randomInt(ID_MAX), signal, argument }) as Tell;

/** Deletes rows that the new signal makes obsolete. */
async function replace(rows: Transaction<Tables>, sessionId: string, { signal }: Tell): Promise<void> {
  const older = rows.deleteFrom('outbox').where('session_id', '=', sessionId);
  if (signal === 'end') await older.execute();
  if (signal === 'configure') await older.where('signal', '=', 'configure').execute();
}

export async function insertTells(
  rows: Transaction<Tables>,
  sessionId: string,
  tells: readonly Tell[],
  now: number,
): Promise<void> {
  for (const tell of tells) await replace(rows, sessionId, tell);
  const due_at = now + LOST_AFTER_MS;
  const values = tells.map(({ id, signal, argument }) => ({
    ...{ id, session_id: sessionId, signal, due_at },
    argument: JSON.stringify(argument),
  }));
  for (let from = 0; from < values.length; from += ROWS_PER_INSERT)
    await rows
      .insertInto('outbox')
      .values(values.slice(from, from + ROWS_PER_INSERT))
      .execute();
}

/** An unacknowledged signal and the session to receive it. */
export interface LostTell {
  tell: Tell;
  /** After this time another reconciler may claim the row. */
  claimedUntilMs: number;
  session: Pick<SessionRow, 'id' | 'account_id' | 'model'>;
}

const toTell = ({ id, signal, argument }: OutboxRow): Tell =>
  ({ id, signal, argument: JSON.parse(argument) }) as Tell;

/** Rows due before `before`, earliest first. Moving `due_at` claims the rows, and puts rows that can't be sent behind others. */
function claimLost(store: Store, before: number, now: number): Promise<LostTell[]> {
  return store.db.transaction().execute(async (rows) => {
    const due = rows
      .selectFrom('outbox')
      .selectAll()
      .where('due_at', '<', before)
      .orderBy('due_at')
      .limit(CLAIMED_MAX);
    const found = await claimed(store, due).execute();
    if (found.length === 0) return [];
    const ids = found.map(({ id }) => id);
    const claimedUntilMs = now + LOST_AFTER_MS;
    await rows.updateTable('outbox').set({ due_at: claimedUntilMs }).where('id', 'in', ids).execute();
    const sessions = await rows
      .selectFrom('sessions')
      .select(['id', 'account_id', 'model'])
      .where('id', 'in', [...new Set(found.map(({ session_id }) => session_id))])
      .execute();
    const byId = new Map(sessions.map((session) => [session.id, session]));
    return found.flatMap((row) => {
      const session = byId.get(row.session_id);
      return session ? [{ tell: toTell(row), claimedUntilMs, session }] : [];
    });
  });
}

/** Skips rows locked by another transaction: it replaces them, or sends them again. */
async function remove(store: Store, ids: readonly number[]): Promise<void> {
  for (let from = 0; from < ids.length; from += REMOVED_PER_DELETE) {
    const some = ids.slice(from, from + REMOVED_PER_DELETE);
    const free = store.db.selectFrom('outbox').select('id').where('id', 'in', some).forUpdate().skipLocked();
    const which = store.kind === 'postgres' ? free : some;
    await store.db.deleteFrom('outbox').where('id', 'in', which).execute();
  }
}

export type OutboxStore = ReturnType<typeof createOutboxStore>;

export function createOutboxStore(store: Store) {
  const { db } = store;
  return {
    claimLost: (before: number, now: number) => claimLost(store, before, now),
    remove: (ids: readonly number[]) => remove(store, ids),
    /** True if the message still waits for its turn. */
    async isQueued(messageId: string): Promise<boolean> {
      const row = await db
        .selectFrom('messages')
        .select('status')
        .where('id', '=', messageId)
        .executeTakeFirst();
      return row?.status === 'queued';
    },
  };
}
