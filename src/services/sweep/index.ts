// The reconciler: every few seconds finds accepted work that got lost on its way to a workflow, and repairs it.
import { purgeIdempotency } from '../../stores/idempotency.ts';
import { createMessageRows } from '../../stores/message-rows.ts';
import type { Store } from '../../stores/store.ts';
import { createSweepStore } from '../../stores/sweep.ts';
import { type DeadWorkDeps, deadWork } from './dead-work.ts';
import { type HalfDeletedDeps, halfDeleted } from './half-deleted.ts';
import type { Look } from './look.ts';
import { type LostAttemptsDeps, lostAttempts } from './lost-attempts.ts';
import { type LostSignalsDeps, lostSignals } from './lost-signals.ts';
import { type MissedExpiriesDeps, missedCallExpiries, missedExpiries } from './missed-expiries.ts';
import { type OwedAnswersDeps, owedAnswers } from './owed-answers.ts';
import { type StuckDeliveriesDeps, stuckDeliveries } from './stuck-deliveries.ts';
import { type UnerasedDeps, unerased } from './unerased.ts';
import { type UnopenedTurnsDeps, unopenedTurns } from './unopened-turns.ts';

const INTERVAL_MS = 5_000;
/** Used beside other workers, because a worker may have just died with a client waiting for its reply. */
const URGENT_INTERVAL_MS = 500;

/** Sessions repaired in parallel. Each repair waits for Temporal, and a kill affects many sessions. */
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
  let stopped = false;

  /** Repairs each row. A failed repair doesn't stop the others, but this check ends when Temporal is unavailable. */
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
    // Must run before lost attempts are ended. Their next attempts would be this worker's, and a task behind them would
    // keep waiting.
    helpEach(deadWork(shared)),
    ...urgentLooks,
    helpEach(lostSignals(shared)),
    helpEach(owedAnswers(shared)),
    helpEach(missedExpiries(shared)),
    helpEach(missedCallExpiries(shared)),
    helpEach(halfDeleted(shared)),
    helpEach(stuckDeliveries(shared)),
    () => purgeIdempotency(store.db, now()),
  ];
  /** Thousands of sessions may be deleted at once. Erasing them takes many Temporal calls, and no client waits for the result. */
  const slowLooks: Pass = [helpEach(unerased(shared))];

  async function take(which: Pass, everything: boolean): Promise<void> {
    for (const look of which) {
      if (stopped) return;
      await look(everything).catch((error: unknown) =>
        logger.warn({ err: error }, 'The sweep could not finish a pass'),
      );
    }
  }

  /** One pass over all checks. `everything` includes sessions that were checked recently. */
  const run = (everything = false): Promise<void> => take([...looks, ...slowLooks], everything);

  const beatMs = isOnlyWorker ? intervalMs : Math.min(intervalMs, URGENT_INTERVAL_MS);
  const beatsPerRun = Math.round(intervalMs / beatMs);
  const loops = [
    // The first pass checks every session with a pending reply, because Temporal may have lost them all.
    createLoop(beatMs, (beat) =>
      beat % beatsPerRun === 0 ? take(looks, beat === 0) : take(urgentLooks, false),
    ),
    createLoop(intervalMs, () => take(slowLooks, false)),
  ];

  return {
    run,
    start(): void {
      for (const loop of loops) loop.start();
    },
    async stop(): Promise<void> {
      stopped = true;
      await Promise.all(loops.map((loop) => loop.stop()));
    },
  };
}

/** @param act Receives the number of earlier calls. The next call starts `pauseMs` after the previous call has ended. */
function createLoop(pauseMs: number, act: (beat: number) => Promise<void>) {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  let underWay: Promise<void> = Promise.resolve();

  function call(beat: number): void {
    underWay = act(beat).finally(() => {
      if (isStopped) return;
      timer = setTimeout(call, pauseMs, beat + 1);
      timer.unref();
    });
  }

  return {
    start: () => call(0),
    async stop(): Promise<void> {
      isStopped = true;
      clearTimeout(timer);
      await underWay;
    },
  };
}
