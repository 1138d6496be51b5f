// Turns that were interrupted in the store before their first step. A workflow that lost the message's signal never
// learns of such a turn.
import { type SessionTransaction, stepHasStarted } from '../stores/log.ts';

const FIRST_STEP = 1;
/** The queue can't hold more messages at once. */
const UNHEARD_MAX = 100;

/**
 * True if only turns interrupted before their first step lie between `earlier` and `later`. A workflow at `earlier`
 * then wasn't reset, but missed signals.
 */
async function isSamePlace(
  tx: SessionTransaction,
  later: string | null,
  earlier: string | null,
): Promise<boolean> {
  let at = later;
  for (let count = 0; at !== earlier && count < UNHEARD_MAX; count += 1) {
    const reply = at === null ? undefined : await tx.messages.get(at);
    if (reply?.status !== 'interrupted' || (await stepHasStarted(tx.rows, reply.id, FIRST_STEP)))
      return false;
    at = (await tx.messages.userOf(reply.id))?.parent_id ?? null;
  }
  return at === earlier;
}

/** The head for a turn that the workflow places after `asked`: `actual` if both are the same place, else `asked`. */
export const placeOf = async (
  tx: SessionTransaction,
  actual: string | null,
  asked: string | null,
): Promise<string | null> => ((await isSamePlace(tx, actual, asked)) ? actual : asked);
