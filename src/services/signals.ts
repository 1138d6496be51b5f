// Tells workflows what the store has accepted. Nobody waits for it: what is owed and gets lost is said again by the sweep.
import type { Kysely } from 'kysely';
import type { Logger } from 'pino';
import type {
  ConfigureSignal,
  EndReason,
  InterruptSignal,
  MessageSignal,
  ToolResultSignal,
} from '../../workflows/protocol.ts';
import { owesDeliveries } from '../stores/delivery-queue.ts';
import type { Committed } from '../stores/log.ts';
import type { MessageRow, SessionRow, Tables } from '../stores/schema.ts';
import { pending } from '../turns/snapshot.ts';
import type { Engine, EngineSession } from './engine.ts';

export type Signals = ReturnType<typeof createSignals>;

export const engineSession = (row: Pick<SessionRow, 'id' | 'account_id' | 'model'>): EngineSession => ({
  sessionId: row.id,
  accountId: row.account_id,
  model: row.model,
});

/** What a workflow is told of an accepted message. */
export const messageSignal = (
  session: SessionRow,
  user: MessageRow,
  showPreviews: boolean,
): MessageSignal => ({
  ...pending(user, showPreviews),
  expiresAtMs: session.expires_at,
  ...(user.interrupts_reply_id === null ? {} : { interrupts: user.interrupts_reply_id }),
});

export interface SignalsDeps {
  engine: Engine;
  db: Kysely<Tables>;
  log: Logger;
  now: () => number;
}

/** A mark saves the sweep a question; most messages have begun by then and need none. Far below the sweep's 5 s. */
const MARK_AFTER_MS = 1_000;
/** Bounds the parameters of one statement. */
const MARKS_MAX = 500;
/** What a turn writes comes in three transactions; those of a quick one are told of, and sent, together. */
const DUE_TOGETHER_MS = 50;

/** Marks messages as told that still wait for their turn a while later, many in one statement. */
function createMarks({ db, log, now }: Pick<SignalsDeps, 'db' | 'log' | 'now'>) {
  const told = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const ids = [...told];
    told.clear();
    for (let from = 0; from < ids.length; from += MARKS_MAX)
      await db
        .updateTable('messages')
        .set({ signalled_at: now() })
        .where('id', 'in', ids.slice(from, from + MARKS_MAX))
        .where('status', '=', 'queued')
        .execute();
  }

  function later(): void {
    // Without its mark a message is told again, which does no harm.
    flush().catch((error: unknown) => log.warn({ err: error }, 'Told messages could not be marked'));
  }

  return {
    add(messageId: string): void {
      told.add(messageId);
      timer ??= setTimeout(later, MARK_AFTER_MS).unref();
    },
    flush,
  };
}

/** Tells workflows that webhooks are to be sent: those of some transactions together, and each of them once. */
function createDue(tell: (session: SessionRow) => void) {
  const sessions = new Map<string, SessionRow>();
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    const all = [...sessions.values()];
    sessions.clear();
    all.forEach(tell);
  }

  return {
    add({ session, events }: Pick<Committed, 'session' | 'events'>): void {
      // What ends a session says itself that its run has still to send: later, that run would be over.
      if (events.some(({ type }) => type === 'session.ended')) sessions.delete(session.id);
      else sessions.set(session.id, session);
      timer ??= setTimeout(flush, DUE_TOGETHER_MS).unref();
    },
    flush,
  };
}

export function createSignals({ engine, db, log, now }: SignalsDeps) {
  const marks = createMarks({ db, log, now });
  const logLost = (sessionId: string, what: string) => (error: unknown) =>
    log.warn({ err: error, sessionId, what }, 'A workflow could not be told');
  const due = createDue((session) => {
    engine.deliver(engineSession(session)).catch(logLost(session.id, 'deliver'));
  });

  async function message(session: SessionRow, signal: MessageSignal): Promise<void> {
    await engine.message(engineSession(session), signal);
    marks.add(signal.messageId);
  }

  async function end(session: SessionRow, reason: EndReason): Promise<void> {
    const isDue = await owesDeliveries(db, session.id);
    await engine.end(engineSession(session), { reason, ...(isDue ? { isDue } : {}) });
    await db.updateTable('sessions').set({ end_signalled_at: now() }).where('id', '=', session.id).execute();
  }

  async function toolResult(session: SessionRow, signal: ToolResultSignal): Promise<void> {
    await engine.toolResult(engineSession(session), signal);
    const told = { signalled_at: now() };
    await db.updateTable('tool_calls').set(told).where('id', '=', signal.callId).execute();
  }

  return {
    message,
    end,
    /** Tells what is only remembered so far; before the way to Temporal is closed. */
    flushDue: due.flush,
    /** Writes what is only remembered so far; before the store is closed. */
    flush: () => marks.flush(),
    messageLater: (session: SessionRow, signal: MessageSignal): void => {
      message(session, signal).catch(logLost(session.id, 'message'));
    },
    endLater: (session: SessionRow, reason: EndReason): void => {
      end(session, reason).catch(logLost(session.id, 'end'));
    },
    /**
     * Lost, the workflow hears of the end from the attempt that still works on the reply: the fence refuses its writes.
     * What waits for its next try is found by the sweep.
     */
    interruptLater: (session: SessionRow, signal: InterruptSignal): void => {
      engine.interrupt(engineSession(session), signal).catch(logLost(session.id, 'interrupt'));
    },
    toolResult,
    toolResultLater: (session: SessionRow, signal: ToolResultSignal): void => {
      toolResult(session, signal).catch(logLost(session.id, 'toolResult'));
    },
    /**
     * Lost, it costs the Temporal UI its newest model name until the next change, for turns read the store; a deadline
     * that came nearer is found by the sweep when it has passed.
     */
    configureLater: (session: SessionRow, signal: ConfigureSignal): void => {
      engine.configure(engineSession(session), signal).catch(logLost(session.id, 'configure'));
    },
    /** Lost, the sweep finds what is due. */
    deliverLater: due.add,
    /** Something is to be sent to the endpoint, and no session does it. Lost, the sweep finds what is due. */
    endpointLater: (webhookId: string): void => {
      engine
        .endpoint(webhookId)
        .catch((error: unknown) => log.warn({ err: error, webhookId }, 'A workflow could not be told'));
    },
    /** Lost, it costs nothing: the first message starts the workflow. */
    startLater: (session: SessionRow): void => {
      engine.start(engineSession(session)).catch(logLost(session.id, 'start'));
    },
  };
}
