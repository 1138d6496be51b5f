// Turns that a worker had taken and died before it opened them: they have no lease, Temporal alone knows of the attempt.
import type { SessionRow } from '../../stores/schema.ts';
import type { Engine } from '../engine.ts';
import { type Look, type SweepRows, WORKER_LOST_AFTER_MS } from './look.ts';

/** A little later than the attempt was begun, so that its silence is long enough when it is asked after. */
const UNOPENED_AFTER_MS = WORKER_LOST_AFTER_MS + 400;

export interface UnopenedTurnsDeps {
  rows: SweepRows;
  engine: Engine;
  now: () => number;
}

/**
 * Each message is asked after once, when it comes of age: on a busy system many wait for a worker, and each question costs
 * Temporal a call. What is missed by that, Temporal's own heartbeat time-out finds.
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
