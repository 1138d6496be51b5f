// Erases the remains of a deletion outside the tables: old pages in the write-ahead log, and Temporal's runs.
import type { Kysely } from 'kysely';
import type { Logger } from 'pino';
import { hasPendingDeliveries, lastDeliveryAt } from '../../stores/delivery-queue.ts';
import type { SessionRow, Tables } from '../../stores/schema.ts';
import type { Store } from '../../stores/store.ts';
import type { Engine } from '../engine.ts';
import { CHECK_EVERY_MS, type Look, type SweepRows } from './look.ts';

const RETRY_MS_MIN = 5_000;
const RETRY_MS_MAX = 24 * 60 * 60 * 1_000;
/** A signal sent before the deletion may still arrive and start a run. No call to Temporal takes longer. */
const LATE_SIGNALS_MS = 30_000;
/** An ended session's run closes within seconds. A run that is still open then can't make progress. */
const OPEN_MS_MAX = 10 * 60 * 1_000;
/** Temporal's own retention has usually removed the runs by then. */
const GIVE_UP_AFTER_MS = 30 * 24 * 60 * 60 * 1_000;

export interface UnerasedDeps {
  rows: SweepRows;
  store: Store;
  db: Kysely<Tables>;
  engine: Engine;
  logger: Logger;
  now: () => number;
}

/** The wait doubles with each check, because it equals the time since the deletion. */
const nextCheckAt = (deletedAt: number, at: number): number =>
  at + Math.min(Math.max(at - deletedAt, RETRY_MS_MIN), RETRY_MS_MAX);

export function unerased({ rows, store, db, engine, logger, now }: UnerasedDeps): Look<SessionRow> {
  let logTruncatedAt = 0;
  let isRefused = false;

  /** The log's pages keep deleted data until a checkpoint empties the log. */
  function truncateLog(since: number): boolean {
    if (logTruncatedAt > since) return true;
    const at = now();
    if (!store.truncateLog()) return false;
    logTruncatedAt = at;
    return true;
  }

  function logRefusal(): void {
    if (isRefused) return;
    isRefused = true;
    logger.error(
      'Temporal refuses to delete workflows, so histories of deleted sessions stay until the retention of the namespace ends. ' +
        'Allow DeleteWorkflowExecution for this server. It tries again for 30 days',
    );
  }

  /** @returns true if Temporal holds nothing of the session, and no late signal can change this. */
  async function eraseRuns({ id }: SessionRow, age: number): Promise<boolean> {
    // The run still has deliveries to send.
    if (await hasPendingDeliveries(db, id)) return false;
    const erasure = await engine.erase(id, { evenOpen: age > OPEN_MS_MAX });
    if (erasure === 'refused') logRefusal();
    return erasure === 'gone' && age >= LATE_SIGNALS_MS;
  }

  return {
    find() {
      const at = now();
      return rows.claimUnerased(at, at + CHECK_EVERY_MS);
    },
    async help(session) {
      const at = now();
      const deletedAt = session.deleted_at ?? at;
      const isLast = at - deletedAt > GIVE_UP_AFTER_MS;
      // The next check is scheduled first, so that a failure isn't repeated in each pass.
      await rows.postponeErasure(session.id, nextCheckAt(deletedAt, at), isLast ? at : null);
      // A pending delivery holds the last copy of the metadata, and its removal leaves an old page in the log.
      const deliveredAt = await lastDeliveryAt(db, session.id);
      const isLogEmpty = truncateLog(Math.max(deletedAt, deliveredAt ?? 0));
      const isGone = await eraseRuns(session, at - deletedAt);
      if (isGone && isLogEmpty && deliveredAt !== undefined)
        await rows.postponeErasure(session.id, session.check_at, at);
    },
  };
}
