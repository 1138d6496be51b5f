// A store: one of two databases behind one query layer. Only locks and error texts differ.
import type { Kysely } from 'kysely';
import { ApiError } from '../contracts/errors.ts';
import type { Tables } from './schema.ts';

export interface Store {
  kind: 'sqlite' | 'postgres';
  db: Kysely<Tables>;
  /**
   * Empties the write-ahead log, whose pages hold rows deleted by later transactions. PostgreSQL recycles its log by itself.
   * @returns false if a transaction or a reader blocks it. Try again later.
   */
  truncateLog(): boolean;
}

interface Lockable<Q> {
  forUpdate(): Q & { skipLocked(): Q };
  forNoKeyUpdate(): Q;
  forKeyShare(): Q;
}

/** Locks the selected rows until the transaction ends. SQLite transactions run alone anyway. */
export const locked = <Q extends Lockable<Q>>({ kind }: Store, select: Q): Q =>
  kind === 'postgres' ? select.forUpdate() : select;

/** Locks the selected rows and skips rows locked by another process, so that processes share the work. */
export const claimed = <Q extends Lockable<Q>>({ kind }: Store, select: Q): Q =>
  kind === 'postgres' ? select.forUpdate().skipLocked() : select;

/**
 * Protects the selected rows from deletion and from `locked` until the transaction ends. Other changes and `kept` stay possible.
 */
export const kept = <Q extends Lockable<Q>>({ kind }: Store, select: Q): Q =>
  kind === 'postgres' ? select.forKeyShare() : select;

/** Locks the selected rows against changes, deletion and other `inTurn` callers. `kept` stays possible. */
export const inTurn = <Q extends Lockable<Q>>({ kind }: Store, select: Q): Q =>
  kind === 'postgres' ? select.forNoKeyUpdate() : select;

/** The error for a database that can't be reached or can't write. Nothing was stored. */
export const storeAway = (cause: unknown): ApiError =>
  new ApiError('unavailable', 'The store is away; nothing was accepted, try again', {
    retryAfterSeconds: 1,
    cause,
  });

/** True if the failure is an outage of the store. Other failures of a write are permanent. */
export const isStoreAway = (error: unknown): boolean =>
  error instanceof ApiError && error.code === 'unavailable';
