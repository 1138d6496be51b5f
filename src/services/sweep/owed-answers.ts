// Sessions with a pending reply: restarts a run that Temporal lost, and signals a workflow that doesn't know its message.
import type { Logger } from 'pino';
import type { SessionState } from '../../../workflows/protocol.ts';
import type { MessageRows } from '../../stores/message-rows.ts';
import type { MessageRow, SessionRow } from '../../stores/schema.ts';
import { messageSignal } from '../../turns/snapshot.ts';
import { type Engine, engineSession } from '../engine.ts';
import { CHECK_EVERY_MS, type Look, type SweepRows } from './look.ts';
import { createEndUnreplayable } from './unreplayable.ts';

export interface OwedAnswersDeps {
  rows: SweepRows;
  messages: MessageRows;
  engine: Engine;
  logger: Logger;
  showPreviews: boolean;
  now: () => number;
}

export function owedAnswers(deps: OwedAnswersDeps): Look<SessionRow> {
  const { rows, messages, engine, logger, showPreviews, now } = deps;
  const endUnreplayable = createEndUnreplayable(deps);

  /** The message that the workflow should serve: the message of the open reply, or else the first queued message. */
  async function owed(session: SessionRow): Promise<MessageRow | undefined> {
    if (session.open_reply_id !== null) return messages.userOf(session.open_reply_id);
    return messages.firstQueued(session.id);
  }

  /**
   * A workflow that still runs an interrupted reply has lost the signal: a power cut rolled back Temporal's history, or an
   * older version never sent the signal. A reply that ended in another way was ended by the workflow's own step.
   */
  async function resendInterrupt(session: SessionRow, { running }: SessionState): Promise<void> {
    const reply = running ? await messages.get(running.replyId) : undefined;
    if (reply?.status === 'interrupted')
      await engine.signal('interrupt', engineSession(session), { replyId: reply.id });
  }

  /**
   * True if the workflow knows the message. A running workflow that can't answer now counts as true, unless its history
   * can't be replayed.
   */
  async function isKnown(session: SessionRow, messageId: string): Promise<boolean> {
    const found = await engine.state(session.id);
    if (!found) return !(await endUnreplayable(session.id)) && engine.isRunning(session.id);
    const { state } = found.answer;
    await resendInterrupt(session, state);
    return [state.running, ...state.queue].some((message) => message?.messageId === messageId);
  }

  return {
    find(everything) {
      const at = now();
      return rows.claimOwing(everything ? Number.MAX_SAFE_INTEGER : at, at + CHECK_EVERY_MS, everything);
    },
    async help(session) {
      const user = await owed(session);
      if (!user || (await isKnown(session, user.id))) return;
      const ids = { sessionId: session.id, messageId: user.id };
      logger.warn(ids, 'A session owes an answer and nobody works on it');
      await engine.signal('message', engineSession(session), messageSignal(session, user, showPreviews));
    },
  };
}
