// Ends attempts whose worker died. Temporal alone would notice only by heartbeat timeout.
import type { Logger } from 'pino';
import type { SessionRow } from '../../stores/schema.ts';
import type { Engine, LostAttempt } from '../engine.ts';
import { type Look, type SweepRows, WORKER_LOST_AFTER_MS } from './look.ts';
import { createPresence } from './presence.ts';

/**
 * An attempt is ended by activity id, so a second worker that saw the same lost lease would end the next attempt too.
 * Workers therefore claim the lease. A claim lasts longer than a round trip to Temporal.
 */
const CLAIM_MS = 1_000;

export interface LostAttemptsDeps {
  rows: SweepRows;
  engine: Engine;
  logger: Logger;
  now: () => number;
  /** This process's worker. */
  worker: string;
  /** True if every other worker is known to be gone, because this process alone owns the data directory. */
  isOnlyWorker: boolean;
}

function attemptOf(session: SessionRow): LostAttempt | undefined {
  const { lease_worker, lease_run_id, lease_activity_id, lease_attempt } = session;
  if (!lease_worker || !lease_run_id || !lease_activity_id || !lease_attempt) return undefined;
  return {
    sessionId: session.id,
    worker: lease_worker,
    runId: lease_run_id,
    activityId: lease_activity_id,
    attempt: lease_attempt,
  };
}

export function lostAttempts(deps: LostAttemptsDeps): Look<SessionRow> {
  const { rows, engine, logger, now, worker, isOnlyWorker } = deps;
  const leasesCount = createPresence(now);

  /** Expired leases, once the store has been available long enough for living workers to renew. */
  async function lostBesideOthers(): Promise<SessionRow[]> {
    const found = await rows.lostLeases(worker, now() - WORKER_LOST_AFTER_MS);
    return leasesCount() ? found : [];
  }

  const claim = (session: SessionRow) => rows.claimLease(session, now() - WORKER_LOST_AFTER_MS + CLAIM_MS);

  return {
    find: () => (isOnlyWorker ? rows.lostLeases(worker, Number.MAX_SAFE_INTEGER) : lostBesideOthers()),
    async help(session) {
      const lost = attemptOf(session);
      if (!lost || !(isOnlyWorker || (await claim(session)))) return;
      if (await engine.failAttempt(lost)) logger.info(lost, 'A lost attempt was ended');
      // Another worker that is stopped or dying may have received the next attempt without opening it.
      else await engine.endSilentAttempts(session.id, WORKER_LOST_AFTER_MS);
    },
  };
}
