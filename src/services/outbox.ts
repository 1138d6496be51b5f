// Sends the signals of committed transactions to workflows. Fire and forget: the reconciler resends lost signals.
import type { Logger } from 'pino';
import type { Committed } from '../stores/log.ts';
import type { LostTell, OutboxStore, Tell } from '../stores/outbox.ts';
import { type Engine, engineSession } from './engine.ts';

/** Acknowledgements within this time share one statement. Far below the 5 s after which the reconciler resends a row. */
const ACKNOWLEDGED_TOGETHER_MS = 1_000;
/** A turn commits three times. The deliveries of a quick turn are signalled and sent together. */
const DUE_TOGETHER_MS = 50;

type Heard = LostTell['session'];

export interface OutboxDeps {
  engine: Pick<Engine, 'start' | 'signal' | 'endpoint'>;
  rows: OutboxStore;
  /** Asks the session's resident sender for another pass. @returns false when no sender accepts. */
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
      // The reconciler sends these signals again. The duplicates are harmless.
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

  /** Delivery rows are their own outbox: the reconciler finds due deliveries whose signal was lost. */
  function dispatchDeliveries({ session, events, isDue }: Committed): void {
    if (!isDue || notifySender(session.id)) return;
    // The `end` signal already carries `isDue`. After the end, a `deliver` signal would find the run closed.
    if (events.some(({ type }) => type === 'session.ended')) due.remove(session.id);
    else due.add(session.id, session);
  }

  return {
    send,
    /** Runs after each commit. */
    dispatch(change: Committed): void {
      for (const tell of change.tells)
        send(change.session, tell).catch(logLost(change.sessionId, tell.signal));
      dispatchDeliveries(change);
    },
    /** Runs after deliveries were handed over to an endpoint. If this signal is lost, the reconciler finds the due deliveries. */
    notifyEndpoint(webhookId: string): void {
      engine
        .endpoint(webhookId)
        .catch((error: unknown) => log.warn({ err: error, webhookId }, 'An endpoint could not be signalled'));
    },
    /** Sends the collected `deliver` signals. Call before closing the connection to Temporal. */
    flushDue: due.flush,
    /** Removes the rows of sent signals. Call before closing the store. */
    flush: acknowledgements.flush,
  };
}
