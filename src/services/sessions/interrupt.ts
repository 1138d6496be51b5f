// Stops what a session is answering, or the first message that waits for an answer: in the store, whatever its workers do.
import { ApiError, notFound } from '../../contracts/errors.ts';
import type { Interrupted } from '../../contracts/sessions.ts';
import type { Catalogue } from '../../models/catalogue.ts';
import { currentReplyId, interruptCurrent } from '../../turns/current.ts';
import type { Keep, Once } from '../idempotency.ts';
import type { MessageReader } from '../messages/reader.ts';
import type { Caller, Idempotency, Written } from '../ports.ts';
import { type ChangeDeps, changeSession, visibleSession } from '../session-access.ts';
import type { Signals } from '../signals.ts';

export interface InterruptDeps extends ChangeDeps {
  catalogue: Catalogue;
  reader: MessageReader;
  signals: Signals;
  once: Once;
}

/** The reply that was stopped. Null if there was nothing to stop: a repeated request stops nothing either. */
interface Stopped {
  id: string | null;
}

export function createInterrupt(deps: InterruptDeps) {
  const { sessions, catalogue, reader, signals, once } = deps;

  async function stop(caller: Caller, sessionId: string, keep: Keep<Stopped>): Promise<Interrupted> {
    const { session, reply } = await changeSession(deps, caller, sessionId, async (tx, isBare) => {
      if (tx.session.status !== 'active') throw new ApiError('session_ended', 'The session has ended');
      await keep(tx.rows, { id: (await currentReplyId(tx)) ?? null });
      return { reply: await interruptCurrent(tx, catalogue, isBare), session: tx.session };
    });
    if (!reply) return { interrupted: true, message: null };
    signals.interruptLater(session, { replyId: reply.id });
    return { interrupted: true, message: await reader.view(reply) };
  }

  /** The reply that the first try has stopped, whatever the session does by now. */
  async function again(caller: Caller, sessionId: string, { id }: Stopped): Promise<Interrupted> {
    await visibleSession(sessions, caller, sessionId);
    if (id === null) return { interrupted: true, message: null };
    const reply = await reader.get(id);
    if (!reply) throw notFound('message');
    return { interrupted: true, message: await reader.view(reply) };
  }

  return (
    caller: Caller,
    sessionId: string,
    idempotency: Idempotency | null,
  ): Promise<Written<Interrupted>> =>
    once(
      caller,
      idempotency,
      (keep: Keep<Stopped>) => stop(caller, sessionId, keep),
      (stopped) => again(caller, sessionId, stopped),
    );
}
