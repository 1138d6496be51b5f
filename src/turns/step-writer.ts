// The right to write one model step, and the fence that each of its writes is held against.
import type { SessionLog, SessionTransaction } from '../stores/log.ts';
import type { MessageRow } from '../stores/schema.ts';

/** The right to write one step of one reply, as `begin` gave it. */
export interface StepWriter {
  sessionId: string;
  replyId: string;
  step: number;
  fence: number;
  /** Names the line of the ledger that this attempt's model call gets: one, whoever writes it, and however often. */
  callId: string;
  /** The name the provider was asked for. */
  model: string;
}

/** Runs `work` only while the writer still holds the fence. @returns undefined for a refused writer. */
export function fenced<T>(
  log: SessionLog,
  writer: StepWriter,
  work: (tx: SessionTransaction, reply: MessageRow) => Promise<T>,
): Promise<T | undefined> {
  return log.write(writer.sessionId, async (tx) => {
    if (tx.session.fence !== writer.fence || tx.session.open_reply_id !== writer.replyId) return undefined;
    const reply = await tx.messages.get(writer.replyId);
    return reply && work(tx, reply);
  });
}
