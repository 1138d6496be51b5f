// What a try of a delivery came to, in its row and in its endpoint's.
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

/** Attempts that a row keeps, the newest. */
const ATTEMPTS_KEPT_MAX = 10;

export interface TryResult {
  attempt: StoredAttempt;
  /** What it changes beside the attempts and the lease. */
  patch: DeliveryPatch;
}

const withAttempt = ({ attempts }: DeliveryRow, attempt: StoredAttempt): string =>
  JSON.stringify([...(JSON.parse(attempts) as StoredAttempt[]), attempt].slice(-ATTEMPTS_KEPT_MAX));

/** @returns false when the row was cancelled meanwhile, or is not this lease's any more: then nothing follows from the try. */
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
  // Cancelled while it was under way: the log still tells that it was sent.
  if (numUpdatedRows === 0n)
    await ours
      .set(patch.status === 'delivered' ? patch : {})
      .where('status', '=', 'cancelled')
      .execute();
  if (row.event_type === 'session.ended') await forgetTold(rows, [row.id]);
  return numUpdatedRows > 0n;
}

/** A try that was answered well: whatever trouble the endpoint had is over. */
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

/** A try that failed. */
export async function recordFailure(
  rows: Transaction<Tables>,
  row: DeliveryRow,
  result: TryResult,
  judge: (webhook: WebhookRow) => WebhookPatch,
): Promise<WebhookRow | undefined> {
  // The endpoint first: so does whoever deletes it, and none of the two waits for the other for ever.
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
