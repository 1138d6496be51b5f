// Wakes the workflows of overdue idle sessions. The workflow then asks the store.
import type { SessionRow } from '../../stores/schema.ts';
import { type Engine, engineSession } from '../engine.ts';
import { CHECK_EVERY_MS, type Look, type SweepRows } from './look.ts';

/** The workflow's own timer ends an idle session. The reconciler wakes the workflow this long after the deadline. */
const OVERDUE_AFTER_MS = 60_000;

const wake = (engine: Engine, session: SessionRow): Promise<void> =>
  engine.signal('configure', engineSession(session), {
    model: session.model,
    expiresAtMs: session.expires_at,
  });

export interface MissedExpiriesDeps {
  rows: SweepRows;
  engine: Engine;
  now: () => number;
}

export const missedExpiries = ({ rows, engine, now }: MissedExpiriesDeps): Look<SessionRow> => ({
  find() {
    const at = now();
    return rows.claimOverdue(at - OVERDUE_AFTER_MS, at, at + CHECK_EVERY_MS);
  },
  help: (session) => wake(engine, session),
});

/** The same for expired tool calls, because a lost run has lost their timers. Any signal restarts the run from the store. */
export const missedCallExpiries = ({ rows, engine, now }: MissedExpiriesDeps): Look<SessionRow> => ({
  find() {
    const at = now();
    return rows.claimOverdueCalls(at - OVERDUE_AFTER_MS, at, at + CHECK_EVERY_MS);
  },
  help: (session) => wake(engine, session),
});
