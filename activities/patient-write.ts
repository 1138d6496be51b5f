// Retries writes through a short store outage. Giving up a finished reply would mean paying for another call.
import { setTimeout as sleep } from 'node:timers/promises';
import { isStoreAway } from '../src/stores/store.ts';

const INTERVAL_MS = 200;
/**
 * Longer than a database needs to recover from a kill. After this time the attempt fails, and Temporal's slower retries
 * follow.
 */
const PATIENCE_MS = 60_000;

/**
 * Repeats `write`, one transaction, while the store is unavailable. A write that committed without an acknowledgement
 * is repeated too. The repeat is refused if the first write closed the reply. Other writes must detect a repeat
 * themselves.
 * @throws the error of `write`, if it is another error, the attempt is cancelled, or the store stays unavailable.
 */
export async function patiently<T>(
  cancelled: AbortSignal,
  write: (isRepeated: boolean) => Promise<T>,
): Promise<T> {
  const until = Date.now() + PATIENCE_MS;
  for (let isRepeated = false; ; isRepeated = true) {
    try {
      return await write(isRepeated);
    } catch (error) {
      if (!isStoreAway(error) || cancelled.aborted || Date.now() >= until) throw error;
    }
    // After a cancellation, the loop makes one last attempt and throws its error.
    await sleep(INTERVAL_MS, undefined, { signal: cancelled }).catch(() => undefined);
  }
}
