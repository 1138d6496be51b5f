// Tells the workflow of a session that the session has ended.
import type { EndReason } from '../../workflows/protocol.ts';
import { hasPendingDeliveries } from '../stores/delivery-queue.ts';
import type { SessionTransaction } from '../stores/log.ts';

/** The run must not be over before it has sent what is due, this transaction's events included. */
export async function tellEnd(tx: SessionTransaction, reason: EndReason): Promise<void> {
  await tx.flush();
  const isDue = await hasPendingDeliveries(tx.rows, tx.session.id);
  tx.tell('end', { reason, ...(isDue ? { isDue } : {}) });
}
