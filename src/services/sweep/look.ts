// One thing that the sweep looks for: where something may have got lost, and what helps.
import type { createSweepStore } from '../../stores/sweep.ts';

export type SweepRows = ReturnType<typeof createSweepStore>;

export interface Look<Row> {
  /** A bounded number of rows. @param everything Also those that were looked at lately. */
  find(everything: boolean): Promise<Row[]>;
  help(row: Row): Promise<void>;
}

/** A word on its way, or the second half of a deletion, needs milliseconds; what is older than this was lost. */
export const LOST_AFTER_MS = 5_000;

/** What is renewed each 2 s and was not for so long has lost its worker: three renewals are missing. */
export const WORKER_LOST_AFTER_MS = 6_000;

/**
 * Everything said before now is lost, when the only process that could have said it has just begun.
 * @returns the time before which it was accepted.
 */
export const lostBefore = (
  everything: boolean,
  { now, isOnlyWorker }: { now: () => number; isOnlyWorker: boolean },
) => (everything && isOnlyWorker ? now() : now() - LOST_AFTER_MS);

/** A session is asked after at most this often: each question costs Temporal a call. */
export const CHECK_EVERY_MS = 30_000;
