// Turns whose worker died before opening them. No lease exists, so only Temporal knows of the attempt.
import type { SessionRow } from '../../stores/schema.ts';
import type { Engine } from '../engine.ts';
import { type Look, type SweepRows, WORKER_LOST_AFTER_MS } from './look.ts';

/** Slightly longer than the silence that counts as lost, because the attempt begins after the message. */
const UNOPENED_AFTER_MS = WORKER_LOST_AFTER_MS + 400;

export interface UnopenedTurnsDeps {
  rows: SweepRows;
  engine: Engine;
  now: () => number;
}

/**
 * Checks each message once, when it reaches this age. On a busy system many messages wait for a worker, and each check
 * costs a Temporal call. Temporal's heartbeat timeout finds the rest.
 */
export function unopenedTurns({ rows, engine, now }: UnopenedTurnsDeps): Look<SessionRow> {
  let askedBefore = now() - 2 * UNOPENED_AFTER_MS;
  return {
    find() {
      const after = askedBefore;
      askedBefore = now() - UNOPENED_AFTER_MS;
      return rows.unopened(after, askedBefore);
    },
    help: (session) => engine.endSilentAttempts(session.id, WORKER_LOST_AFTER_MS),
  };
}
