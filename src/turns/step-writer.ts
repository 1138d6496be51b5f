// The right to write one model step. Every write of the step is checked against the fence.
import type { SessionLog, SessionTransaction } from '../stores/log.ts';
import type { MessageRow } from '../stores/schema.ts';

/** The right to write one step of one reply, as granted by `begin`. */
export interface StepWriter {
  sessionId: string;
  replyId: string;
  step: number;
  fence: number;
  /** The id of the ledger line for this attempt's model call. Repeated writes keep one line, whichever process writes. */
  callId: string;
  /** The model name sent to the provider. */
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
