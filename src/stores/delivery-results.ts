// Records the result of a delivery's attempt in the rows of the delivery and of its endpoint.
import type { Transaction } from 'kysely';
import { forgetTold } from './delivery-rows.ts';
import type {
  DeliveryPatch,
  DeliveryRow,
  StoredAttempt,
  Tables,
  WebhookPatch,
  WebhookRow,
} from './schema.ts';

/** The newest attempts that a row keeps. */
const ATTEMPTS_KEPT_MAX = 10;

export interface TryResult {
  attempt: StoredAttempt;
  /** Changes besides the attempts and the lease. */
  patch: DeliveryPatch;
}

const withAttempt = ({ attempts }: DeliveryRow, attempt: StoredAttempt): string =>
  JSON.stringify([...(JSON.parse(attempts) as StoredAttempt[]), attempt].slice(-ATTEMPTS_KEPT_MAX));

/** @returns false if the row was cancelled by now, or its lease was lost. The attempt then has no further consequences. */
async function record(
  rows: Transaction<Tables>,
  row: DeliveryRow,
  { attempt, patch }: TryResult,
): Promise<boolean> {
  const ours = rows
    .updateTable('deliveries')
    .set({ attempts: withAttempt(row, attempt), attempt_count: row.attempt_count + 1 })
    .set({ lease_until: null, lease_by: null })
    .where('id', '=', row.id)
    .where('lease_by', '=', row.lease_by);
  const { numUpdatedRows } = await ours.set(patch).where('status', '=', 'pending').executeTakeFirst();
  // Cancelled while in flight: the delivery still shows the attempt.
  if (numUpdatedRows === 0n)
    await ours
      .set(patch.status === 'delivered' ? patch : {})
      .where('status', '=', 'cancelled')
      .execute();
  if (row.event_type === 'session.ended') await forgetTold(rows, [row.id]);
  return numUpdatedRows > 0n;
}

/** Records a success and clears the endpoint's failures. */
export async function recordSuccess(
  rows: Transaction<Tables>,
  row: DeliveryRow,
  result: TryResult,
): Promise<boolean> {
  await rows
    .updateTable('webhooks')
    .set({ failures_in_row: 0, failing_since: null, open_until: null })
    .where('id', '=', row.webhook_id)
    .where('failures_in_row', '>', 0)
    .execute();
  return record(rows, row, result);
}

/** Records a failure and counts it for the endpoint. */
export async function recordFailure(
  rows: Transaction<Tables>,
  row: DeliveryRow,
  result: TryResult,
  judge: (webhook: WebhookRow) => WebhookPatch,
): Promise<WebhookRow | undefined> {
  // Locks the endpoint first, as deleting the endpoint does. Another order could deadlock.
  const counted = await rows
    .updateTable('webhooks')
    .set((eb) => ({
      failures_in_row: eb('failures_in_row', '+', 1),
      failing_since: eb.fn.coalesce('failing_since', eb.val(result.attempt.at)),
    }))
    .where('id', '=', row.webhook_id)
    .returningAll()
    .executeTakeFirst();
  const isRecorded = await record(rows, row, result);
  if (!counted || !isRecorded) return undefined;
  const patch = judge(counted);
  await rows.updateTable('webhooks').set(patch).where('id', '=', counted.id).execute();
  return { ...counted, ...patch } as WebhookRow;
}
