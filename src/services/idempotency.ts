// Joins a repeated request to what its first try made.
import type { Kysely } from 'kysely';
import { ApiError } from '../contracts/errors.ts';
import { findIdempotency, keepIdempotency } from '../stores/idempotency.ts';
import type { SessionTransaction } from '../stores/log.ts';
import type { Tables } from '../stores/schema.ts';
import type { Caller, Idempotency } from './ports.ts';

/** @returns the id that the first request with this key made. @throws 422 when that was another request. */
export async function replayOf(
  db: Kysely<Tables>,
  caller: Caller,
  idempotency: Idempotency | null,
  now: number,
): Promise<string | undefined> {
  if (!idempotency) return undefined;
  const scope = { account_id: caller.accountId, route: idempotency.route, key: idempotency.key };
  const found = await findIdempotency(db, scope, now);
  if (!found) return undefined;
  if (found.fingerprint === idempotency.fingerprint) return found.resource_id;
  throw new ApiError('idempotency_key_reused', 'This Idempotency-Key was used with another body', {
    param: 'Idempotency-Key',
  });
}

export async function remember(
  tx: SessionTransaction,
  caller: Caller,
  idempotency: Idempotency | null,
  resourceId: string,
): Promise<void> {
  if (!idempotency) return;
  await keepIdempotency(tx.rows, {
    account_id: caller.accountId,
    ...idempotency,
    resource_id: resourceId,
    created_at: tx.now,
  });
}
