// Idempotency keys: written in the transaction that makes the resource, so a key and its effect exist together.
import type { Kysely, Transaction } from 'kysely';
import type { IdempotencyRow, Tables } from './schema.ts';

/** After this a key may be used again, for something else. */
export const IDEMPOTENCY_KEPT_MS = 24 * 60 * 60 * 1_000;

export type IdempotencyScope = Pick<IdempotencyRow, 'account_id' | 'route' | 'key'>;

export async function findIdempotency(
  db: Kysely<Tables>,
  scope: IdempotencyScope,
  now: number,
): Promise<IdempotencyRow | undefined> {
  return db
    .selectFrom('idempotency_keys')
    .selectAll()
    .where('account_id', '=', scope.account_id)
    .where('route', '=', scope.route)
    .where('key', '=', scope.key)
    .where('created_at', '>', now - IDEMPOTENCY_KEPT_MS)
    .executeTakeFirst();
}

/** @throws when another request has kept the same key since it was looked for. */
export async function keepIdempotency(rows: Transaction<Tables>, row: IdempotencyRow): Promise<void> {
  // An expired row may be in the way; one that another transaction has just committed must stay there.
  await rows
    .deleteFrom('idempotency_keys')
    .where('account_id', '=', row.account_id)
    .where('route', '=', row.route)
    .where('key', '=', row.key)
    .where('created_at', '<=', row.created_at - IDEMPOTENCY_KEPT_MS)
    .execute();
  await rows.insertInto('idempotency_keys').values(row).execute();
}

export async function purgeIdempotency(db: Kysely<Tables>, now: number): Promise<void> {
  await db
    .deleteFrom('idempotency_keys')
    .where('created_at', '<=', now - IDEMPOTENCY_KEPT_MS)
    .execute();
}
