// Ends a model step that has gone well, and its reply with it.
import type { Catalogue } from '../models/catalogue.ts';
import type { ModelBlock, ModelReply } from '../models/port.ts';
import type { SessionLog } from '../stores/log.ts';
import {
  addUsage,
  type MessagePatch,
  type MessageRow,
  type SessionRow,
  type StepRow,
  type UsageColumns,
} from '../stores/schema.ts';
import { messageView } from '../views/messages.ts';
import { appendDeltas } from './append-text.ts';
import { idleDeadline } from './attach.ts';
import { charge, openCallOf } from './charge.ts';
import { fenced, type StepWriter } from './step-writer.ts';

/** Content blocks as the API shows them: text and reasoning. The step keeps the model's own. */
function contentBlocks(blocks: ModelBlock[]): string {
  const shown = blocks.filter(
    (block) => block.type === 'thinking' || (block.type === 'text' && block.text !== ''),
  );
  return JSON.stringify(shown);
}

const textOf = (blocks: ModelBlock[]): string =>
  blocks.map((block) => (block.type === 'text' ? String(block.text) : '')).join('');

const stepRow = (writer: StepWriter, answer: ModelReply, now: number): StepRow => ({
  reply_id: writer.replyId,
  n: writer.step,
  session_id: writer.sessionId,
  blocks: JSON.stringify(answer.blocks),
  stop_reason: answer.stopReason,
  completed_at: now,
});

const completed = (
  reply: MessageRow,
  answer: ModelReply,
  usage: UsageColumns,
  now: number,
): MessagePatch => ({
  status: 'completed',
  text: textOf(answer.blocks),
  blocks: contentBlocks(answer.blocks),
  stop_reason: answer.stopReason,
  model: answer.model,
  completed_at: now,
  ...addUsage(reply, usage),
});

export const createCompleteStep = ({ log, catalogue }: { log: SessionLog; catalogue: Catalogue }) =>
  /** The last text, the step, the reply and the ledger in one transaction. @returns undefined for a refused writer. */
  function completeStep(
    writer: StepWriter,
    rest: string,
    answer: ModelReply,
  ): Promise<{ reply: MessageRow; session: SessionRow } | undefined> {
    return fenced(log, writer, async (tx, open) => {
      appendDeltas(tx, writer, rest);
      tx.append('message.content_ended', open.id, { step: writer.step });
      const call = openCallOf(catalogue, writer, answer.usage);
      const usage = await charge(tx, call, { outcome: 'completed', errorCode: null });
      await tx.messages.insertStep(stepRow(writer, answer, tx.now));
      const patch = completed(open, answer, usage, tx.now);
      await tx.messages.update(open.id, patch);
      const reply = { ...open, ...patch } as MessageRow;
      const expires_at = idleDeadline(tx.session.expires_after_seconds, tx.now);
      tx.patch({ open_reply_id: null, expires_at });
      tx.append('message.completed', reply.id, { message: messageView(reply) });
      return { reply, session: tx.session };
    });
  };
