// Stops what a session is answering, or the first message that waits for an answer.
import { ApiError } from '../../contracts/errors.ts';
import type { Interrupted } from '../../contracts/sessions.ts';
import type { SessionRow } from '../../stores/schema.ts';
import type { SessionsStore } from '../../stores/sessions.ts';
import type { Engine } from '../engine.ts';
import type { MessageReader } from '../messages/reader.ts';
import type { WaitForReply } from '../messages/wait.ts';
import type { Caller } from '../ports.ts';
import { visibleSession } from '../session-access.ts';
import { engineSession } from '../signals.ts';

export interface InterruptDeps {
  sessions: SessionsStore;
  reader: MessageReader;
  messages: { waitForReply: WaitForReply };
  engine: Engine;
}

export function createInterrupt({ sessions, reader, messages, engine }: InterruptDeps) {
  const nextReply = async (session: SessionRow): Promise<string | null | undefined> =>
    session.open_reply_id ?? (await reader.queued(session.id))[0]?.reply_id;

  return async function interrupt(caller: Caller, id: string): Promise<Interrupted> {
    const session = await visibleSession(sessions, caller, id);
    if (session.status !== 'active') throw new ApiError('session_ended', 'The session has ended');
    engine.requireAvailable();
    const replyId = await nextReply(session);
    if (!replyId) return { interrupted: true, message: null };
    await engine.interrupt(engineSession(session), { replyId }).catch((cause: unknown) => {
      // It went away just now: then this is a 503 like any other.
      engine.requireAvailable();
      throw cause;
    });
    const never = new AbortController().signal;
    const { message } = await messages.waitForReply({ sessionId: id, replyId }, never);
    return { interrupted: true, message };
  };
}
