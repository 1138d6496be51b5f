// Sends to workflows what committed transactions have told them. Nobody waits for that: the reconciler sends what got lost.
import type { Logger } from 'pino';
import type { Committed } from '../stores/log.ts';
import type { LostTell, OutboxStore, Tell } from '../stores/outbox.ts';
import { type Engine, engineSession } from './engine.ts';

/** Acknowledgements of so long are one statement. Far below the 5 s after which the reconciler sends a row again. */
const ACKNOWLEDGED_TOGETHER_MS = 1_000;
/** A turn commits three times. The deliveries of a quick turn are signalled, and sent, together. */
const DUE_TOGETHER_MS = 50;

type Heard = LostTell['session'];

export interface OutboxDeps {
  engine: Pick<Engine, 'start' | 'signal' | 'endpoint'>;
  rows: OutboxStore;
  /** Asks the session's resident sender for another pass. @returns false when none takes it. */
  notifySender: (sessionId: string) => boolean;
  log: Logger;
}

export type Outbox = ReturnType<typeof createOutbox>;

/** Collects entries for a while, then hands them over together. */
function createBatch<Key, Value>(afterMs: number, handOver: (entries: Map<Key, Value>) => void) {
  let entries = new Map<Key, Value>();
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    const all = entries;
    entries = new Map();
    if (all.size > 0) handOver(all);
  }

  return {
    add(key: Key, value: Value): void {
      entries.set(key, value);
      timer ??= setTimeout(flush, afterMs).unref();
    },
    remove: (key: Key): boolean => entries.delete(key),
    flush,
  };
}

/** Removes the rows of sent signals, many in one statement. */
function createAcknowledgements({ rows, log }: Pick<OutboxDeps, 'rows' | 'log'>) {
  let removed: Promise<void> = Promise.resolve();
  const batch = createBatch<number, null>(ACKNOWLEDGED_TOGETHER_MS, (ids) => {
    removed = rows.remove([...ids.keys()]).catch((error: unknown) =>
      // The reconciler sends these signals again, which does no harm.
      log.warn({ err: error }, 'Sent signals could not be removed from the outbox'),
    );
  });
  return {
    add: (id: number): void => batch.add(id, null),
    flush(): Promise<void> {
      batch.flush();
      return removed;
    },
  };
}

export function createOutbox({ engine, rows, notifySender, log }: OutboxDeps) {
  const acknowledgements = createAcknowledgements({ rows, log });
  const logLost = (sessionId: string, signal: string) => (error: unknown) =>
    log.warn({ err: error, sessionId, signal }, 'A signal could not be sent; the reconciler sends it again');

  async function send(session: Heard, tell: Tell): Promise<void> {
    const to = engineSession(session);
    if (tell.signal === 'start') await engine.start(to);
    else await engine.signal(tell.signal, to, tell.argument);
    acknowledgements.add(tell.id);
  }

  const due = createBatch<string, Heard>(DUE_TOGETHER_MS, (sessions) => {
    for (const session of sessions.values())
      engine.signal('deliver', engineSession(session), {}).catch(logLost(session.id, 'deliver'));
  });

  /** The rows of deliveries are an outbox of their own: lost, the reconciler finds what is due. */
  function dispatchDeliveries({ session, events, isDue }: Committed): void {
    if (!isDue || notifySender(session.id)) return;
    // The signal `end` says itself that its run has still to send: later, that run would be over.
    if (events.some(({ type }) => type === 'session.ended')) due.remove(session.id);
    else due.add(session.id, session);
  }

  return {
    send,
    /** After each commit. */
    dispatch(change: Committed): void {
      for (const tell of change.tells)
        send(change.session, tell).catch(logLost(change.sessionId, tell.signal));
      dispatchDeliveries(change);
    },
    /** After deliveries were left to a webhook's endpoint. Lost, the reconciler finds what is due. */
    notifyEndpoint(webhookId: string): void {
      engine
        .endpoint(webhookId)
        .catch((error: unknown) => log.warn({ err: error, webhookId }, 'An endpoint could not be signalled'));
    },
    /** Sends what waits for others of its kind; before the connection to Temporal is closed. */
    flushDue: due.flush,
    /** Removes the rows of what was sent; before the store is closed. */
    flush: acknowledgements.flush,
  };
}
