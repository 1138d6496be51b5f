// Turns that were ended before they began, in the store alone: a workflow whose word of the message was lost never hears of them.
import { type SessionTransaction, stepHasStarted } from '../stores/log.ts';

const FIRST_STEP = 1;
/** More can't have waited at once. */
const UNHEARD_MAX = 100;

/**
 * Whether nothing lies between the two but turns that never began. Then it is one place in the conversation: a workflow that
 * asks for the earlier one has not been set back, it only has not heard.
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

/** Where a turn goes on that a workflow wants to begin, or has begun, behind `asked`: there, or at `actual`. */
export const placeOf = async (
  tx: SessionTransaction,
  actual: string | null,
  asked: string | null,
): Promise<string | null> => ((await isSamePlace(tx, actual, asked)) ? actual : asked);
