// Sessions that owe an answer: a run that Temporal has lost is started again, one that does not know its work is told.
import type { Logger } from 'pino';
import type { MessageRows } from '../../stores/message-rows.ts';
import type { MessageRow, SessionRow } from '../../stores/schema.ts';
import type { Engine } from '../engine.ts';
import { engineSession, messageSignal } from '../signals.ts';
import { CHECK_EVERY_MS, type Look, type SweepRows } from './look.ts';

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

  /** The message that the workflow should be busy with: the one being answered, else the first that waits. */
  async function owed(session: SessionRow): Promise<MessageRow | undefined> {
    if (session.open_reply_id !== null) return messages.userOf(session.open_reply_id);
    return (await messages.queued(session.id))[0];
  }

  /** Whether the workflow knows of the message. One that runs and can't answer now is believed to. */
  async function isKnown(sessionId: string, messageId: string): Promise<boolean> {
    const found = await engine.state(sessionId);
    if (!found) return engine.isRunning(sessionId);
    const { running, queue } = found.answer.state;
    return [running, ...queue].some((message) => message?.messageId === messageId);
  }

  return {
    find(everything) {
      const at = now();
      return rows.claimOwing(everything ? Number.MAX_SAFE_INTEGER : at, at + CHECK_EVERY_MS);
    },
    async help(session) {
      const user = await owed(session);
      if (!user || (await isKnown(session.id, user.id))) return;
      const ids = { sessionId: session.id, messageId: user.id };
      logger.warn(ids, 'A session owes an answer and nobody works on it');
      await engine.message(engineSession(session), messageSignal(session, user, showPreviews));
    },
  };
}
