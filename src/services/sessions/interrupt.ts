// Interrupts the current turn, or the turn of the first queued message. The store performs the interrupt, independently
// of the workers.
import { ApiError, notFound } from '../../contracts/errors.ts';
import type { Interrupted } from '../../contracts/sessions.ts';
import type { Catalogue } from '../../models/catalogue.ts';
import { currentReplyId, interruptCurrent } from '../../turns/current.ts';
import type { Keep, Once } from '../idempotency.ts';
import type { MessageReader } from '../messages/reader.ts';
import type { Caller, Idempotency, Written } from '../ports.ts';
import { type ChangeDeps, changeSession, visibleSession } from '../session-access.ts';

export interface InterruptDeps extends ChangeDeps {
  catalogue: Catalogue;
  reader: MessageReader;
  once: Once;
}

/** The interrupted reply. Null if there was none, and a repeated request interrupts nothing either. */
interface Stopped {
  id: string | null;
}

export function createInterrupt(deps: InterruptDeps) {
  const { sessions, catalogue, reader, once } = deps;

  async function stop(caller: Caller, sessionId: string, keep: Keep<Stopped>): Promise<Interrupted> {
    const reply = await changeSession(deps, caller, sessionId, async (tx, isBare) => {
      if (tx.session.status !== 'active') throw new ApiError('session_ended', 'The session has ended');
      await keep(tx.rows, { id: (await currentReplyId(tx)) ?? null });
      const stopped = await interruptCurrent(tx, catalogue, isBare);
      if (stopped) tx.tell('interrupt', { replyId: stopped.id });
      return stopped;
    });
    if (!reply) return { interrupted: true, message: null };
    return { interrupted: true, message: await reader.view(reply) };
  }

  /** The reply that the first request interrupted, whatever the session does by now. */
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
