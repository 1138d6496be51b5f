// Does a write once, however often it is asked for under one `Idempotency-Key`. Every service's writes go through here:
//
//     once(
//       caller,
//       idempotency,
//       (keep: Keep<Resource>) => write((tx) => { await keep(tx.rows, { id }); ... }),
//       ({ id }) => show(caller, id),
//     )
//
// `keep` comes first in the transaction of the write and stores what a repeated request needs, so that key and effect are
// there together or not at all: what is refused (4xx) or could not be stored (503) leaves the key free.
import type { Kysely, Transaction } from 'kysely';
import { ApiError } from '../contracts/errors.ts';
import { claimIdempotency, findIdempotency } from '../stores/idempotency.ts';
import type { IdempotencyRow, Tables } from '../stores/schema.ts';
import { readFormer, writeFormer } from './former-results.ts';
import type { Caller, Idempotency, Written } from './ports.ts';

/**
 * Takes the key and stores the result with it. Without a type the path says it all, and nothing is stored.
 * @throws when another request has taken the key since: this one's transaction is undone.
 */
export type Keep<Result = void> = (rows: Transaction<Tables>, result: Result) => Promise<void>;

/** The result of a call that makes something. */
export interface Resource {
  id: string;
}

export type Once = ReturnType<typeof createOnce>;

const keepNothing = async () => undefined;

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
  return async function once<T, Result = void>(
    caller: Caller,
    idempotency: Idempotency | null,
    write: (keep: Keep<Result>) => Promise<T>,
    again: (result: Result) => Promise<T>,
  ): Promise<Written<T>> {
    if (!idempotency) return { value: await write(keepNothing), replayed: false };
    const row = { account_id: caller.accountId, ...idempotency, created_at: now() };
    const replay = async (): Promise<Written<T> | undefined> => {
      const first = await findIdempotency(db, row);
      if (!first) return undefined;
      if (first.fingerprint !== row.fingerprint) throw keyReused();
      return { value: await again(resultOf(first) as Result), replayed: true };
    };
    const keep: Keep<Result> = (rows, result) =>
      claimIdempotency(rows, {
        ...row,
        resource_id: writeFormer(row.route, result),
        result: JSON.stringify(result ?? null),
      });
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

const resultOf = ({ route, resource_id, result }: IdempotencyRow): unknown =>
  result === null ? readFormer(route, resource_id) : JSON.parse(result);

const keyReused = () =>
  new ApiError('idempotency_key_reused', 'This Idempotency-Key was used with another body', {
    param: 'Idempotency-Key',
  });
