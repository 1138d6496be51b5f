// What an open model step writes: text as it comes, then its end. Every write compares the fence in its transaction.

import { messageError } from '../contracts/errors.ts';
import { DELTA_LENGTH_MAX } from '../contracts/events.ts';
import { newId } from '../ids.ts';
import { type Catalogue, costNanoUsd } from '../models/catalogue.ts';
import type { ModelBlock, ModelCallError, ModelReply, ModelUsage } from '../models/port.ts';
import {
  countFailedCalls,
  recordModelCall,
  type SessionLog,
  type SessionTransaction,
} from '../stores/log.ts';
import {
  addUsage,
  type MessagePatch,
  type MessageRow,
  type SessionRow,
  type UsageColumns,
} from '../stores/schema.ts';
import { messageView } from '../views/messages.ts';
import { idleDeadline } from './attach.ts';
import { closeReply } from './close.ts';

/** The right to write one step of one reply, as `begin` gave it. */
export interface StepWriter {
  sessionId: string;
  replyId: string;
  step: number;
  fence: number;
  /** The name the provider was asked for. */
  model: string;
}

/** A provider that failed this often in one step has failed the turn. */
export const MODEL_ERRORS_MAX = 6;

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

/** Content blocks as the API shows them: the text as streamed, and what else the model wrote. */
function contentBlocks(blocks: ModelBlock[]): string {
  const shown = blocks.filter(
    (block) => block.type === 'thinking' || (block.type === 'text' && block.text !== ''),
  );
  return JSON.stringify(shown);
}

export function createWrite({ log, catalogue }: { log: SessionLog; catalogue: Catalogue }) {
  /** Runs `work` only while the writer still holds the fence. @returns undefined for a refused writer. */
  function fenced<T>(writer: StepWriter, work: (tx: SessionTransaction, reply: MessageRow) => Promise<T>) {
    return log.write(writer.sessionId, async (tx) => {
      if (tx.session.fence !== writer.fence || tx.session.open_reply_id !== writer.replyId) return undefined;
      const reply = await tx.messages.get(writer.replyId);
      return reply && work(tx, reply);
    });
  }

  function usageOf(model: string, usage: ModelUsage): UsageColumns {
    const entry = catalogue.find(model);
    return {
      input_tokens: usage.inputTokens,
      output_tokens: usage.outputTokens,
      cache_creation_input_tokens: usage.cacheCreationInputTokens,
      cache_read_input_tokens: usage.cacheReadInputTokens,
      cost_nano_usd: entry ? costNanoUsd(entry.prices, usage) : 0,
    };
  }

  const appendDeltas = (tx: SessionTransaction, writer: StepWriter, text: string) => {
    for (const piece of pieces(text))
      tx.append('message.delta', writer.replyId, { step: writer.step, text: piece });
  };

  /** Writes the call to the ledger and adds its tokens to reply and session. */
  async function charge(
    tx: SessionTransaction,
    writer: StepWriter,
    call: { usage: UsageColumns; outcome: 'completed' | 'failed'; errorCode: string | null },
  ): Promise<UsageColumns> {
    const { sessionId: session_id, replyId: reply_id, step, model } = writer;
    const outcome = { outcome: call.outcome, error_code: call.errorCode, ended_at: tx.now };
    await recordModelCall(tx.rows, {
      id: newId('mcall'),
      session_id,
      reply_id,
      step,
      model,
      ...outcome,
      ...call.usage,
    });
    tx.patch(addUsage(tx.session, call.usage));
    return call.usage;
  }

  /** @returns false when another writer has taken over: stop, nothing was written. */
  async function appendText(writer: StepWriter, text: string): Promise<boolean> {
    const done = await fenced(writer, async (tx) => {
      appendDeltas(tx, writer, text);
      return true;
    });
    return done ?? false;
  }

  /** The last text, the step, the reply and the ledger in one transaction. @returns undefined for a refused writer. */
  function complete(
    writer: StepWriter,
    rest: string,
    answer: ModelReply,
  ): Promise<{ reply: MessageRow; session: SessionRow } | undefined> {
    return fenced(writer, async (tx, reply) => {
      appendDeltas(tx, writer, rest);
      tx.append('message.content_ended', writer.replyId, { step: writer.step });
      const usage = await charge(tx, writer, {
        usage: usageOf(writer.model, answer.usage),
        outcome: 'completed',
        errorCode: null,
      });
      await tx.messages.insertStep({
        reply_id: reply.id,
        n: writer.step,
        session_id: reply.session_id,
        blocks: JSON.stringify(answer.blocks),
        stop_reason: answer.stopReason,
        completed_at: tx.now,
      });
      const text = answer.blocks.map((block) => (block.type === 'text' ? String(block.text) : '')).join('');
      const patch: MessagePatch = {
        status: 'completed',
        text,
        blocks: contentBlocks(answer.blocks),
        stop_reason: answer.stopReason,
        model: answer.model,
        completed_at: tx.now,
        ...addUsage(reply, usage),
      };
      await tx.messages.update(reply.id, patch);
      const closed = { ...reply, ...patch } as MessageRow;
      tx.patch({
        open_reply_id: null,
        expires_at: idleDeadline(tx.session.expires_after_seconds, tx.now),
      });
      tx.append('message.completed', reply.id, { message: messageView(closed) });
      return { reply: closed, session: tx.session };
    });
  }

  /**
   * Records a failed model call; the reply fails with it when no further try can help.
   * @returns `final` with the closed reply, or how often the step has failed; undefined for a refused writer.
   */
  function failStep(writer: StepWriter, failure: ModelCallError) {
    return fenced(writer, async (tx, reply) => {
      const before = await countFailedCalls(tx.rows, writer.replyId, writer.step);
      const usage = await charge(tx, writer, {
        usage: usageOf(writer.model, failure.usage),
        outcome: 'failed',
        errorCode: failure.code,
      });
      const total = addUsage(reply, usage);
      await tx.messages.update(reply.id, total);
      const failures = before + 1;
      if (failure.retryable && failures < MODEL_ERRORS_MAX) return { final: false as const, failures };
      const error = messageError(failure.code, failure.message);
      const closed = await closeReply(tx, { ...reply, ...total }, { status: 'failed', error });
      return { final: true as const, reply: closed, session: tx.session };
    });
  }

  const renewLease = (writer: StepWriter): Promise<void> => log.renewLease(writer.sessionId, writer.fence);

  return { appendText, complete, failStep, renewLease };
}
