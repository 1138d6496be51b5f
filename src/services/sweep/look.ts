// One check of the reconciler: finds a kind of lost work, and repairs it.
import type { createSweepStore } from '../../stores/sweep.ts';

export type SweepRows = ReturnType<typeof createSweepStore>;

export interface Look<Row> {
  /** A bounded number of rows. @param everything Includes rows that were checked recently. */
  find(everything: boolean): Promise<Row[]>;
  help(row: Row): Promise<void>;
}

/** A signal in flight, or the second half of a deletion, needs milliseconds. Anything older counts as lost. */
export const LOST_AFTER_MS = 5_000;

/** Leases are renewed every 2 s. After this time three renewals are missing, so the worker is lost. */
export const WORKER_LOST_AFTER_MS = 6_000;

/**
 * If the only sending process has just started, everything sent earlier is lost.
 * @returns the time before which the work was accepted.
 */
export const lostBefore = (
  everything: boolean,
  { now, isOnlyWorker }: { now: () => number; isOnlyWorker: boolean },
) => (everything && isOnlyWorker ? now() : now() - LOST_AFTER_MS);

/** Minimum interval between checks of a session, because each check costs a Temporal call. */
export const CHECK_EVERY_MS = 30_000;
