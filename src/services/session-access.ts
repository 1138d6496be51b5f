// Access to a caller's session: visible to its own account only, changed in one transaction, not found after deletion.
import { notFound } from '../contracts/errors.ts';
import type { SessionLog, SessionTransaction } from '../stores/log.ts';
import type { SessionRow } from '../stores/schema.ts';
import type { SessionsStore } from '../stores/sessions.ts';
import { storably } from '../turns/close.ts';
import type { Engine } from './engine.ts';
import type { Caller } from './ports.ts';

/** @throws 404 for another account's session too, so that its existence stays hidden. */
export async function visibleSession(
  sessions: SessionsStore,
  caller: Caller,
  sessionId: string,
): Promise<SessionRow> {
  const session = await sessions.get(caller.accountId, sessionId);
  if (!session) throw notFound('session');
  return session;
}

/** Runs `work` with the session locked. @throws 404 when the session was deleted after the caller's read. */
export async function writeSession<T>(
  log: SessionLog,
  sessionId: string,
  work: (tx: SessionTransaction) => Promise<T>,
): Promise<T> {
  const done = await log.write(sessionId, async (tx) => {
    if (tx.session.ended_reason === 'deleted') throw notFound('session');
    return { value: await work(tx) };
  });
  if (!done) throw notFound('session');
  return done.value;
}

export interface ChangeDeps {
  sessions: SessionsStore;
  log: SessionLog;
  /** Without `signal`: signals are written to the outbox in the transaction. */
  engine: Pick<Engine, 'requireAvailable'>;
}

/**
 * Runs a change of the caller's session that its workflow must learn of. If the store refuses the change, it runs again
 * with `isBare`. A change that closes the open reply then omits the text of its incomplete step.
 */
export async function changeSession<T>(
  { sessions, log, engine }: ChangeDeps,
  caller: Caller,
  sessionId: string,
  work: (tx: SessionTransaction, isBare: boolean) => Promise<T>,
): Promise<T> {
  await visibleSession(sessions, caller, sessionId);
  engine.requireAvailable();
  return storably((isBare) => writeSession(log, sessionId, (tx) => work(tx, isBare)));
}
