// A store: one of two databases behind one query layer. Only locks and the words of failures differ.
import type { Kysely } from 'kysely';
import { ApiError } from '../contracts/errors.ts';
import type { Tables } from './schema.ts';

export interface Store {
  kind: 'sqlite' | 'postgres';
  db: Kysely<Tables>;
  /**
   * Empties the write-ahead log, whose pages hold what later transactions deleted. PostgreSQL recycles its log by itself.
   * @returns false when a transaction or a reader is in the way; try again later.
   */
  truncateLog(): boolean;
}

interface Lockable<Q> {
  forUpdate(): Q & { skipLocked(): Q };
  forNoKeyUpdate(): Q;
  forKeyShare(): Q;
}

/** Locks the selected rows until the transaction ends. SQLite's transactions are alone from their beginning. */
export const locked = <Q extends Lockable<Q>>({ kind }: Store, select: Q): Q =>
  kind === 'postgres' ? select.forUpdate() : select;

/** Locks the selected rows and leaves out those that another process holds: for work that is shared out. */
export const claimed = <Q extends Lockable<Q>>({ kind }: Store, select: Q): Q =>
  kind === 'postgres' ? select.forUpdate().skipLocked() : select;

/** Keeps the selected rows from being deleted until the transaction ends; others may change them, and read them so, too. */
export const kept = <Q extends Lockable<Q>>({ kind }: Store, select: Q): Q =>
  kind === 'postgres' ? select.forKeyShare() : select;

/** Locks the selected rows for those alone who lock them so, or to delete them: they take turns, and all others may keep the rows. */
export const inTurn = <Q extends Lockable<Q>>({ kind }: Store, select: Q): Q =>
  kind === 'postgres' ? select.forNoKeyUpdate() : select;

/** What a caller is told when the database can't be reached or can't write: nothing was stored. */
export const storeAway = (cause: unknown): ApiError =>
  new ApiError('unavailable', 'The store is away; nothing was accepted, try again', {
    retryAfterSeconds: 1,
    cause,
  });

/** Whether a failure says that the store is away for a while. Any other failure of a write comes again with the same write. */
export const isStoreAway = (error: unknown): boolean =>
  error instanceof ApiError && error.code === 'unavailable';
