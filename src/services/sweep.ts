// Looks every few seconds for what was accepted and may have been lost on the way to a workflow, and says it again.
// Saying something twice is harmless: rows decide what it means.
import type { Kysely } from 'kysely';
import type { Logger } from 'pino';
import type { Catalogue } from '../models/catalogue.ts';
import { purgeIdempotency } from '../stores/idempotency.ts';
import type { SessionLog } from '../stores/log.ts';
import { createMessageRows } from '../stores/message-rows.ts';
import type { MessageRow, SessionRow, Tables } from '../stores/schema.ts';
import type { Store } from '../stores/store.ts';
import { createSweepStore } from '../stores/sweep.ts';
import { preview } from '../turns/snapshot.ts';
import type { Engine } from './engine.ts';
import { purge } from './sessions/purge.ts';
import { engineSession, type Signals } from './signals.ts';

export interface SweepDeps {
  store: Store;
  db: Kysely<Tables>;
  log: SessionLog;
  logger: Logger;
  engine: Engine;
  signals: Signals;
  catalogue: Catalogue;
  showPreviews: boolean;
  now: () => number;
  /** This process's worker. */
  worker: string;
  /** Whether every other worker is known to be gone: this process alone owns the data directory. */
  isOnlyWorker: boolean;
  intervalMs?: number;
}

/** A signal on its way needs milliseconds; what is older than this was lost. */
const LOST_AFTER_MS = 5_000;
/** A session that owes an answer is asked for at most this often: each question costs Temporal a call. */
const CHECK_EVERY_MS = 30_000;
/** The workflow's own timer ends an idle session; this long after it the sweep wakes the workflow. */
const OVERDUE_AFTER_MS = 60_000;
const INTERVAL_MS = 5_000;
/** A lease is renewed each 2 s; after three missed renewals its worker counts as gone. An error costs a model call. */
const LEASE_LOST_AFTER_MS = 6_000;

export function createSweep(deps: SweepDeps) {
  const { db, engine, signals, logger, now, showPreviews } = deps;
  const store = createSweepStore(deps.store);
  const messages = createMessageRows(db);
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let pass: Promise<void> = Promise.resolve();

  const signalOf = (session: SessionRow, user: MessageRow) => ({
    messageId: user.id,
    replyId: user.reply_id ?? '',
    position: user.position ?? 0,
    preview: showPreviews ? preview(user.text) : '',
    expiresAtMs: session.expires_at,
  });

  /** One row that can't be helped keeps no other from being looked at; with Temporal away none of them can be. */
  async function each<T>(rows: T[], look: (row: T) => Promise<void>): Promise<void> {
    for (const row of rows) {
      if (stopped) return;
      await look(row).catch((error: unknown) => {
        engine.requireAvailable();
        logger.warn({ err: error }, 'The sweep could not help a session; it looks again later');
      });
    }
  }

  /** Attempts whose worker died are ended by name: Temporal alone would notice by its heartbeat time-out only. */
  async function attemptsLost(): Promise<void> {
    const before = deps.isOnlyWorker ? Number.MAX_SAFE_INTEGER : now() - LEASE_LOST_AFTER_MS;
    await each(await store.lostLeases(deps.worker, before), async (row) => {
      const { id: sessionId, lease_worker, lease_run_id, lease_activity_id, lease_attempt } = row;
      if (!lease_worker || !lease_run_id || !lease_activity_id || !lease_attempt) return;
      const lost = {
        worker: lease_worker,
        runId: lease_run_id,
        activityId: lease_activity_id,
        attempt: lease_attempt,
      };
      if (await engine.failAttempt({ sessionId, ...lost }))
        logger.info({ sessionId, ...lost }, 'A lost attempt was ended');
    });
  }

  async function messagesLost(): Promise<void> {
    await each(await store.unsignalledMessages(now() - LOST_AFTER_MS), ({ session, user }) =>
      signals.message(session, signalOf(session, user)),
    );
  }

  async function endsLost(): Promise<void> {
    await each(await store.unsignalledEnds(now() - LOST_AFTER_MS), async (session) => {
      if (session.ended_reason) await signals.end(session, session.ended_reason);
    });
  }

  /** The message that the workflow should be busy with: the one being answered, else the first that waits. */
  async function owed(session: SessionRow): Promise<MessageRow | undefined> {
    if (session.open_reply_id !== null) return messages.userOf(session.open_reply_id);
    return (await messages.queued(session.id))[0];
  }

  /** A run that Temporal has lost is started again; one that runs but does not know its work is told. */
  async function revive(session: SessionRow): Promise<void> {
    const user = await owed(session);
    if (!user) return;
    const found = await engine.state(session.id);
    const state = found?.answer.state;
    const known =
      state?.running?.messageId === user.id || state?.queue.some((each) => each.messageId === user.id);
    if (known || (!found && (await engine.isRunning(session.id)))) return;
    logger.warn(
      { sessionId: session.id, messageId: user.id },
      'A session owes an answer and nobody works on it',
    );
    await engine.message(engineSession(session), signalOf(session, user));
  }

  async function answersOwed(everything: boolean): Promise<void> {
    const at = now();
    const before = everything ? Number.MAX_SAFE_INTEGER : at;
    await each(await store.claimOwing(before, at + CHECK_EVERY_MS), revive);
  }

  async function expiriesMissed(): Promise<void> {
    const at = now();
    await each(await store.claimOverdue(at - OVERDUE_AFTER_MS, at, at + CHECK_EVERY_MS), (session) =>
      engine.configure(engineSession(session), { model: session.model, expiresAtMs: session.expires_at }),
    );
  }

  async function remains(): Promise<void> {
    await each(await store.halfDeleted(now() - LOST_AFTER_MS), (session) => purge(deps.log, session.id));
    await purgeIdempotency(db, now());
  }

  /** One pass over everything. `everything` also asks after sessions that were looked at lately. */
  async function run(everything = false): Promise<void> {
    const looks = [
      attemptsLost,
      messagesLost,
      endsLost,
      () => answersOwed(everything),
      expiriesMissed,
      remains,
    ];
    for (const look of looks) {
      if (stopped) return;
      await look().catch((error: unknown) =>
        logger.warn({ err: error }, 'The sweep could not finish a pass'),
      );
    }
  }

  function again(): void {
    if (stopped) return;
    timer = setTimeout(() => {
      pass = run().finally(again);
    }, deps.intervalMs ?? INTERVAL_MS);
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
