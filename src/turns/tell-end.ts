// Signals a session's end to its workflow.
import type { EndReason } from '../../workflows/protocol.ts';
import { hasPendingDeliveries } from '../stores/delivery-queue.ts';
import type { SessionTransaction } from '../stores/log.ts';

/** The run must send all due deliveries before it ends, including this transaction's events. */
export async function tellEnd(tx: SessionTransaction, reason: EndReason): Promise<void> {
  await tx.flush();
  const isDue = await hasPendingDeliveries(tx.rows, tx.session.id);
  tx.tell('end', { reason, ...(isDue ? { isDue } : {}) });
}
