// Writes what a model has said through a short absence of the store: to give it up is to pay for another call.
import { setTimeout as sleep } from 'node:timers/promises';
import { isStoreAway } from '../src/stores/store.ts';

const INTERVAL_MS = 200;
/** Longer than a database needs to recover from a kill; beyond it the attempt fails, and Temporal's slower tries follow. */
const PATIENCE_MS = 60_000;

/**
 * Repeats `write`, one transaction, while the store is away. One that was kept, and could not say so, is repeated as well:
 * the end of a step is then refused by the fence, and what leaves the fence as it is must look by itself.
 * @throws what `write` throws, when it is anything else, when the attempt is cancelled, or when the store stays away.
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
    // Cancelled while it waits, it tries once more and then says why it failed.
    await sleep(INTERVAL_MS, undefined, { signal: cancelled }).catch(() => undefined);
  }
}
