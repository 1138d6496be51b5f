// The second half of a deletion.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SessionLog, SessionTransaction } from '../../stores/log.ts';
import { EMPTY_CONTENTS } from '../../stores/schema.ts';
import { newRemoval, type Removal, removeContents } from '../../stores/session-contents.ts';

/** @returns whether all is gone. */
async function removePiece(tx: SessionTransaction, removal: Removal): Promise<boolean> {
  if (!(await removeContents(tx.rows, { sessionId: tx.session.id, now: tx.now, removal }))) {
    // The sweep takes a deletion that stands still for one that was cut short.
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
 * Removes what an ended session holds; its row stays, so that late writers and signals meet it as gone. A long session takes
 * many transactions, and others have their turn between them.
 */
export async function purge(log: SessionLog, sessionId: string): Promise<void> {
  const removal = newRemoval();
  while ((await log.write(sessionId, (tx) => removePiece(tx, removal))) === false) await nextTurn();
}
