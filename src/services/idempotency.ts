// Runs a write once per `Idempotency-Key`, however often the request is repeated. All services write through this
// function:
//
//     once(
//       caller,
//       idempotency,
//       (keep: Keep<Resource>) => write((tx) => { await keep(tx.rows, { id }); ... }),
//       ({ id }) => show(caller, id),
//     )
//
// `keep` comes first in the write's transaction and stores the data that a replay needs. Key and effect commit together
// or not at all. A refused (4xx) or failed (503) write leaves the key free.
import type { Kysely, Transaction } from 'kysely';
import { ApiError } from '../contracts/errors.ts';
import { claimIdempotency, findIdempotency } from '../stores/idempotency.ts';
import type { IdempotencyRow, Tables } from '../stores/schema.ts';
import { readFormer, writeFormer } from './former-results.ts';
import type { Caller, Idempotency, Written } from './ports.ts';

/**
 * Claims the key and stores the result with the key. Without a result type the path is sufficient, and nothing is
 * stored.
 * @throws when another request has claimed the key in the meantime. This transaction is rolled back.
 */
export type Keep<Result = void> = (rows: Transaction<Tables>, result: Result) => Promise<void>;

/** The result of a call that creates a resource. */
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
   * @param write Runs for the first request, and for every request without a key.
   * @param again Shows the first request's result in its current state, for a repeated request.
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
      // A concurrent equal request may have won, and its effect may be the reason why this request failed.
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
