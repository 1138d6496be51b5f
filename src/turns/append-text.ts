// Appends streamed text to the session log.
import { DELTA_LENGTH_MAX } from '../contracts/events.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { ModelUsage } from '../models/port.ts';
import { type SessionLog, type SessionTransaction, streamedStep } from '../stores/log.ts';
import { openCallOf } from './charge.ts';
import { fenced, type StepWriter } from './step-writer.ts';

/** Splits text into pieces that fit one event each, without cutting a surrogate pair. */
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

export interface AppendOptions {
  /** The call's cost so far, if the store doesn't know it yet. */
  told?: ModelUsage | undefined;
  /**
   * For a repeated write with an unknown outcome: UTF-16 units of the step's text before this write. The fence holder
   * is the step's only writer, so a longer text proves that the write was stored.
   */
  after?: number;
}

const isKept = async (tx: SessionTransaction, { replyId, step }: StepWriter, after: number) =>
  (await streamedStep(tx.rows, replyId, step)).length > after;

export const createAppendText = ({ log, catalogue }: { log: SessionLog; catalogue: Catalogue }) =>
  /** @returns false when another writer has taken over: stop, nothing was written. */
  async function appendText(
    writer: StepWriter,
    text: string,
    { told, after }: AppendOptions = {},
  ): Promise<boolean> {
    const done = await fenced(log, writer, async (tx) => {
      if (after !== undefined && (await isKept(tx, writer, after))) return true;
      appendDeltas(tx, writer, text);
      if (told) tx.patch({ open_call: JSON.stringify(openCallOf(catalogue, writer, told)) });
      return true;
    });
    return done ?? false;
  };
