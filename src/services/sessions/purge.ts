// The second half of a deletion.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SessionLog, SessionTransaction } from '../../stores/log.ts';
import { EMPTY_CONTENTS } from '../../stores/schema.ts';
import { newRemoval, type Removal, removeContents } from '../../stores/session-contents.ts';

/** @returns true when all contents are removed. */
async function removePiece(tx: SessionTransaction, removal: Removal): Promise<boolean> {
  if (!(await removeContents(tx.rows, { sessionId: tx.session.id, now: tx.now, removal }))) {
    // Shows progress: the reconciler treats an unchanged deletion as cut short.
    tx.patch({ updated_at: tx.now });
    return false;
  }
  tx.patch({
    deleted_at: tx.now,
    check_at: tx.now,
    ...EMPTY_CONTENTS,
  });
  return true;
}

/**
 * Removes the contents of an ended session. Its row stays, so late writers and signals find a deleted session. A long
 * session takes many transactions, and other work runs in between.
 */
export async function purge(log: SessionLog, sessionId: string): Promise<void> {
  const removal = newRemoval();
  while ((await log.write(sessionId, (tx) => removePiece(tx, removal))) === false) await nextTurn();
}
