// Finishes deletions that were cut short between their two transactions.
import type { SessionLog } from '../../stores/log.ts';
import type { SessionRow } from '../../stores/schema.ts';
import { purge } from '../sessions/purge.ts';
import { LOST_AFTER_MS, type Look, type SweepRows } from './look.ts';

export interface HalfDeletedDeps {
  rows: SweepRows;
  log: SessionLog;
  now: () => number;
}

export const halfDeleted = ({ rows, log, now }: HalfDeletedDeps): Look<SessionRow> => ({
  find: () => rows.halfDeleted(now() - LOST_AFTER_MS),
  help: (session) => purge(log, session.id),
});
