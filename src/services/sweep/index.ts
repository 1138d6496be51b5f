// Looks every few seconds for what was accepted and may have been lost on the way to a workflow, and helps.
import { purgeIdempotency } from '../../stores/idempotency.ts';
import { createMessageRows } from '../../stores/message-rows.ts';
import type { Store } from '../../stores/store.ts';
import { createSweepStore } from '../../stores/sweep.ts';
import { type DeadWorkDeps, deadWork } from './dead-work.ts';
import { type HalfDeletedDeps, halfDeleted } from './half-deleted.ts';
import type { Look } from './look.ts';
import { type LostAttemptsDeps, lostAttempts } from './lost-attempts.ts';
import { type LostSignalsDeps, lostEnds, lostMessages, lostResults } from './lost-signals.ts';
import { type MissedExpiriesDeps, missedCallExpiries, missedExpiries } from './missed-expiries.ts';
import { type OwedAnswersDeps, owedAnswers } from './owed-answers.ts';
import { type StuckDeliveriesDeps, stuckDeliveries } from './stuck-deliveries.ts';
import { type UnerasedDeps, unerased } from './unerased.ts';
import { type UnopenedTurnsDeps, unopenedTurns } from './unopened-turns.ts';

const INTERVAL_MS = 5_000;
/** Beside other workers, one of which may have died just now with somebody waiting for its answer. */
const URGENT_INTERVAL_MS = 500;

/** Sessions that are helped at the same time: each waits for Temporal, and after a kill many have to be. */
const HELPED_AT_ONCE_MAX = 10;

type LookDeps = LostAttemptsDeps &
  DeadWorkDeps &
  LostSignalsDeps &
  OwedAnswersDeps &
  UnopenedTurnsDeps &
  MissedExpiriesDeps &
  HalfDeletedDeps &
  UnerasedDeps &
  StuckDeliveriesDeps;

export interface SweepDeps extends Omit<LookDeps, 'rows' | 'messages'> {
  store: Store;
  intervalMs?: number | undefined;
}

export function createSweep(deps: SweepDeps) {
  const { store, engine, logger, now, isOnlyWorker, intervalMs = INTERVAL_MS } = deps;
  const shared = { ...deps, rows: createSweepStore(store), messages: createMessageRows(store.db) };
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let pass: Promise<void> = Promise.resolve();

  /** One row that can't be helped keeps no other from being looked at; with Temporal away none of them can be. */
  const helpEach =
    <Row>({ find, help }: Look<Row>) =>
    async (everything: boolean): Promise<void> => {
      const rows = (await find(everything)).values();
      const helpOn = async (): Promise<void> => {
        for (const row of rows) {
          if (stopped) return;
          await help(row).catch((error: unknown) => {
            engine.requireAvailable();
            logger.warn({ err: error }, 'The sweep could not help a session; it looks again later');
          });
        }
      };
      await Promise.all(Array.from({ length: HELPED_AT_ONCE_MAX }, helpOn));
    };

  type Pass = ((everything: boolean) => Promise<void>)[];
  const urgentLooks: Pass = [helpEach(lostAttempts(shared)), helpEach(unopenedTurns(shared))];
  const looks: Pass = [
    // Before lost attempts are ended by name: the next ones would be ours, and a task that waits behind them would wait on.
    helpEach(deadWork(shared)),
    ...urgentLooks,
    helpEach(lostMessages(shared)),
    helpEach(lostResults(shared)),
    helpEach(lostEnds(shared)),
    helpEach(owedAnswers(shared)),
    helpEach(missedExpiries(shared)),
    helpEach(missedCallExpiries(shared)),
    helpEach(halfDeleted(shared)),
    helpEach(stuckDeliveries(shared)),
    helpEach(unerased(shared)),
    () => purgeIdempotency(store.db, now()),
  ];

  async function take(which: Pass, everything: boolean): Promise<void> {
    for (const look of which) {
      if (stopped) return;
      await look(everything).catch((error: unknown) =>
        logger.warn({ err: error }, 'The sweep could not finish a pass'),
      );
    }
  }

  /** One pass over everything. `everything` also asks after sessions that were looked at lately. */
  const run = (everything = false): Promise<void> => take(looks, everything);

  const beatMs = isOnlyWorker ? intervalMs : Math.min(intervalMs, URGENT_INTERVAL_MS);
  const beatsPerRun = Math.round(intervalMs / beatMs);
  let beats = 0;

  function again(): void {
    if (stopped) return;
    timer = setTimeout(() => {
      beats += 1;
      pass = (beats % beatsPerRun === 0 ? run() : take(urgentLooks, false)).finally(again);
    }, beatMs);
    timer.unref();
  }

  return {
    run,
    /** The first pass asks after every session that owes an answer: Temporal may have lost them all. */
    start(): void {
      pass = run(true).finally(again);
    },
    async stop(): Promise<void> {
      stopped = true;
      clearTimeout(timer);
      await pass;
    },
  };
}
