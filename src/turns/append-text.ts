// Appends what a model says to the log while it speaks.
import { DELTA_LENGTH_MAX } from '../contracts/events.ts';
import type { SessionLog, SessionTransaction } from '../stores/log.ts';
import { fenced, type StepWriter } from './step-writer.ts';

/** Text in pieces that fit one event each, never cutting a surrogate pair. */
export function pieces(text: string): string[] {
  const parts: string[] = [];
  let from = 0;
  while (from < text.length) {
    let to = Math.min(from + DELTA_LENGTH_MAX, text.length);
    const last = text.charCodeAt(to - 1);
    if (to < text.length && last >= 0xd800 && last <= 0xdbff) to -= 1;
    parts.push(text.slice(from, to));
    from = to;
  }
  return parts;
}

export function appendDeltas(tx: SessionTransaction, { replyId, step }: StepWriter, text: string): void {
  for (const piece of pieces(text)) tx.append('message.delta', replyId, { step, text: piece });
}

export const createAppendText = ({ log }: { log: SessionLog }) =>
  /** @returns false when another writer has taken over: stop, nothing was written. */
  async function appendText(writer: StepWriter, text: string): Promise<boolean> {
    const done = await fenced(log, writer, async (tx) => {
      appendDeltas(tx, writer, text);
      return true;
    });
    return done ?? false;
  };
