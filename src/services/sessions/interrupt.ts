// Stops what a session is answering, or the first message that waits for an answer.
import { ApiError, notFound } from '../../contracts/errors.ts';
import { isTerminal } from '../../contracts/messages.ts';
import type { Interrupted } from '../../contracts/sessions.ts';
import type { Keep, Once } from '../idempotency.ts';
import type { MessageReader } from '../messages/reader.ts';
import type { WaitForReply } from '../messages/wait.ts';
import type { Caller, Idempotency, Written } from '../ports.ts';
import { type ChangeDeps, changeSession, visibleSession } from '../session-access.ts';
import { engineSession } from '../signals.ts';

export interface InterruptDeps extends ChangeDeps {
  reader: MessageReader;
  messages: { waitForReply: WaitForReply };
  once: Once;
}

/** What is kept of an interrupt that had nothing to stop: its retry stops nothing either. */
const NOTHING = '';

export function createInterrupt(deps: InterruptDeps) {
  const { sessions, reader, messages, engine, once } = deps;

  /** Names the reply that is meant, once and for all: a retry after its turn must not stop the next one. */
  const choose = (caller: Caller, sessionId: string, keep: Keep): Promise<string> =>
    changeSession(deps, caller, sessionId, async (tx) => {
      const { session } = tx;
      if (session.status !== 'active') throw new ApiError('session_ended', 'The session has ended');
      const replyId = session.open_reply_id ?? (await tx.messages.queued(session.id))[0]?.reply_id ?? NOTHING;
      await keep(tx.rows, replyId);
      return replyId;
    });

  /** Says it to the workflow, which ignores it for any other reply than the one that is open. */
  async function stop(caller: Caller, sessionId: string, replyId: string): Promise<void> {
    const session = await visibleSession(sessions, caller, sessionId);
    const reply = await reader.get(replyId);
    if (!reply) throw notFound('message');
    if (isTerminal(reply.status)) return;
    engine.requireAvailable();
    await engine.interrupt(engineSession(session), { replyId }).catch((cause: unknown) => {
      // It went away just now: then this is a 503 like any other, and a retry says the same again.
      engine.requireAvailable();
      throw cause;
    });
  }

  return async function interrupt(
    caller: Caller,
    sessionId: string,
    idempotency: Idempotency | null,
  ): Promise<Written<Interrupted>> {
    const { value: replyId, replayed } = await once(
      caller,
      idempotency,
      (keep) => choose(caller, sessionId, keep),
      async (kept) => kept,
    );
    if (replyId === NOTHING) return { value: { interrupted: true, message: null }, replayed };
    // A first try may have died between the choice and the word, so a retry says it too: to the same reply.
    await stop(caller, sessionId, replyId);
    const never = new AbortController().signal;
    const { message } = await messages.waitForReply({ sessionId, replyId }, never);
    return { value: { interrupted: true, message }, replayed };
  };
}
