// Tracks how long the store has been available. During an outage no worker can renew a lease, so an old lease proves nothing.
import { WORKER_LOST_AFTER_MS } from './look.ts';

/** The interval of renewals (activities/model.ts). */
const RENEWAL_MS = 2_000;
/**
 * The longest outage after which a living worker's lease can't look lost. It leaves room for one renewal before and one
 * second after.
 */
const SILENCE_MS_MAX = WORKER_LOST_AFTER_MS - RENEWAL_MS - 1_000;
/** Within this time after an outage every living worker has renewed, even a busy worker that missed a beat. */
const SETTLED_MS = 2 * RENEWAL_MS;

/** @returns a function to call whenever the store has answered. It returns true once leases can be trusted. */
export function createPresence(now: () => number): () => boolean {
  // A new process has waited for the store and knows no other worker. After a full crash every second counts, so the
  // others get only one interval.
  let since = now() - RENEWAL_MS;
  let answeredAt = now();
  return () => {
    const at = now();
    if (at - answeredAt > SILENCE_MS_MAX) since = at;
    answeredAt = at;
    return at - since >= SETTLED_MS;
  };
}
