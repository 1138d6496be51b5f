// Does a write once, however often it is asked for under one `Idempotency-Key`. Every service's writes go through here:
//
//     once(caller, idempotency, (keep) => write((tx) => { await keep(tx.rows, id); ... }), (id) => show(caller, id))
//
// `keep` comes first in the transaction of the write and names what it makes or changes, so that key and effect are
// there together or not at all: what is refused (4xx) or could not be stored (503) leaves the key free.
import type { Kysely, Transaction } from 'kysely';
import { ApiError } from '../contracts/errors.ts';
import { claimIdempotency, findIdempotency } from '../stores/idempotency.ts';
import type { Tables } from '../stores/schema.ts';
import type { Caller, Idempotency, Written } from './ports.ts';

/** Binds the key to a resource. @throws when another request has bound it since: this one's transaction is undone. */
export type Keep = (rows: Transaction<Tables>, resourceId: string) => Promise<void>;

export type Once = ReturnType<typeof createOnce>;

const keepNothing: Keep = async () => undefined;

export interface OnceDeps {
  db: Kysely<Tables>;
  now: () => number;
}

export function createOnce({ db, now }: OnceDeps) {
  /**
   * @param write Runs for the first request; also for any that has no key.
   * @param again Shows, for a repeated request, what the first one has made, as it is now.
   * @throws 422 when the key was used for another body.
   */
  return async function once<T>(
    caller: Caller,
    idempotency: Idempotency | null,
    write: (keep: Keep) => Promise<T>,
    again: (resourceId: string) => Promise<T>,
  ): Promise<Written<T>> {
    if (!idempotency) return { value: await write(keepNothing), replayed: false };
    const row = { account_id: caller.accountId, ...idempotency, created_at: now() };
    const replay = async (): Promise<Written<T> | undefined> => {
      const first = await findIdempotency(db, row);
      if (!first) return undefined;
      if (first.fingerprint !== row.fingerprint) throw keyReused();
      return { value: await again(first.resource_id), replayed: true };
    };
    const keep: Keep = (rows, resourceId) => claimIdempotency(rows, { ...row, resource_id: resourceId });
    const before = await replay();
    if (before) return before;
    try {
      return { value: await write(keep), replayed: false };
    } catch (error) {
      // An equal request at the same moment may have won, and what it did may be the very reason why this one failed.
      const meanwhile = await replay();
      if (meanwhile) return meanwhile;
      throw error;
    }
  };
}

const keyReused = () =>
  new ApiError('idempotency_key_reused', 'This Idempotency-Key was used with another body', {
    param: 'Idempotency-Key',
  });
