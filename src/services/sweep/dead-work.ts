// Work that a killed process had taken without a lease: an unopened turn, or a workflow task.
import type { SessionRow } from '../../stores/schema.ts';
import type { Engine } from '../engine.ts';
import type { Look, SweepRows } from './look.ts';

export interface DeadWorkDeps {
  rows: SweepRows;
  engine: Engine;
  /** This process's worker. */
  worker: string;
  isOnlyWorker: boolean;
}

/** Only a process that works alone knows at startup that every other worker is gone. */
export const deadWork = ({ rows, engine, worker, isOnlyWorker }: DeadWorkDeps): Look<SessionRow> => ({
  find: async (everything) => (everything && isOnlyWorker ? rows.owing() : []),
  help: (session) => engine.takeOver(session.id, worker),
});
