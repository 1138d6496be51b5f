// Since when the store has been there: while it is away nobody can renew a lease, and an old one proves nothing.
import { WORKER_LOST_AFTER_MS } from './look.ts';

/** The interval of renewals (activities/model.ts). */
const RENEWAL_MS = 2_000;
/** An absence up to this long lets no lease get old whose worker lives: one renewal before it, and a second to renew after it. */
const SILENCE_MS_MAX = WORKER_LOST_AFTER_MS - RENEWAL_MS - 1_000;
/** In this time after an absence every worker that lives has renewed, also a busy one that missed its first beat. */
const SETTLED_MS = 2 * RENEWAL_MS;

/** @returns to be called when the store has answered: whether it has done so for long enough that leases can be believed. */
export function createPresence(now: () => number): () => boolean {
  // Whoever begins has waited for the store, and knows of nobody; after a crash of everything each second counts. So the
  // others are given one interval only.
  let since = now() - RENEWAL_MS;
  let answeredAt = now();
  return () => {
    const at = now();
    if (at - answeredAt > SILENCE_MS_MAX) since = at;
    answeredAt = at;
    return at - since >= SETTLED_MS;
  };
}
