// Idempotency keys. The transaction that creates the resource writes the key, so a key and its effect exist together.
import type { Kysely, Transaction } from 'kysely';
import type { IdempotencyRow, Tables } from './schema.ts';

/** After this time a key may be reused for another request. */
export const IDEMPOTENCY_KEPT_MS = 24 * 60 * 60 * 1_000;

/** A request's key. `created_at` is the time of the request. */
export type IdempotencyScope = Pick<IdempotencyRow, 'account_id' | 'route' | 'key' | 'created_at'>;

const expiredAt = (now: number): number => now - IDEMPOTENCY_KEPT_MS;

export async function findIdempotency(
  db: Kysely<Tables>,
  scope: IdempotencyScope,
): Promise<IdempotencyRow | undefined> {
  return db
    .selectFrom('idempotency_keys')
    .selectAll()
    .where('account_id', '=', scope.account_id)
    .where('route', '=', scope.route)
    .where('key', '=', scope.key)
    .where('created_at', '>', expiredAt(scope.created_at))
    .executeTakeFirst();
}

/**
 * Takes a key that is free, or expired and not removed yet. On PostgreSQL it waits for a transaction that has just taken the key.
 * @throws if another request has the key.
 */
export async function claimIdempotency(rows: Transaction<Tables>, row: IdempotencyRow): Promise<void> {
  const claimed = await rows
    .insertInto('idempotency_keys')
    .values(row)
    .onConflict((conflict) =>
      conflict
        .columns(['account_id', 'route', 'key'])
        .doUpdateSet(row)
        .where('idempotency_keys.created_at', '<=', expiredAt(row.created_at)),
    )
    .returning('key')
    .executeTakeFirst();
  if (!claimed) throw new Error('The Idempotency-Key was taken meanwhile');
}

export async function purgeIdempotency(db: Kysely<Tables>, now: number): Promise<void> {
  await db.deleteFrom('idempotency_keys').where('created_at', '<=', expiredAt(now)).execute();
}
