// Ends a model step that has gone well: with the reply, or with the calls of tools that its next step waits for.
import type { ErrorDetail } from '../contracts/errors.ts';
import { parseJson, stringifyJson } from '../contracts/json.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { ModelBlock, ModelReply } from '../models/port.ts';
import type { SessionLog, SessionTransaction } from '../stores/log.ts';
import {
  addUsage,
  type MessageRow,
  NO_LEASE,
  type SessionRow,
  type StepRow,
  type ToolCallRow,
} from '../stores/schema.ts';
import { messageView, STEP_SEPARATOR } from '../views/messages.ts';
import { isOpen } from '../views/tool-calls.ts';
import { appendDeltas } from './append-text.ts';
import { idleDeadline } from './attach.ts';
import { charge, openCallOf } from './charge.ts';
import { closeReply } from './close.ts';
import { fenced, type StepWriter } from './step-writer.ts';
import { kindOfStop } from './stop-reason.ts';
import { announceCalls, makeCalls, type PreparedCall } from './tool-calls.ts';
import { uselessCalls } from './useless-calls.ts';

type ShownBlock = Record<string, unknown>;

/**
 * Content blocks as the API shows them: text, reasoning and calls. The step keeps the model's own. The n-th `tool_use` belongs
 * to the n-th call, whatever ids the provider gave them.
 */
function shownBlocks(blocks: ModelBlock[], calls: ToolCallRow[]): ShownBlock[] {
  const rows = calls.values();
  return blocks.flatMap((block): ShownBlock[] => {
    if (block.type === 'thinking' || (block.type === 'text' && block.text !== '')) return [block];
    if (block.type !== 'tool_use') return [];
    const call = rows.next().value;
    return call ? [{ type: 'tool_call', tool_call_id: call.id }] : [];
  });
}

const textOf = (blocks: ModelBlock[]): string =>
  blocks.map((block) => (block.type === 'text' ? String(block.text) : '')).join('');

const stepRow = (writer: StepWriter, answer: ModelReply, now: number): StepRow => ({
  reply_id: writer.replyId,
  n: writer.step,
  session_id: writer.sessionId,
  blocks: stringifyJson(answer.blocks),
  stop_reason: answer.stopReason,
  completed_at: now,
});

/** The reply with one more complete step. */
function grown(reply: MessageRow, answer: ModelReply, calls: ToolCallRow[]) {
  const text = textOf(answer.blocks);
  const separator = reply.text !== '' && text !== '' ? STEP_SEPARATOR : '';
  return {
    text: `${reply.text}${separator}${text}`,
    blocks: stringifyJson([...parseJson<ShownBlock[]>(reply.blocks), ...shownBlocks(answer.blocks, calls)]),
  };
}

const isCall = ({ type }: ModelBlock): boolean => type === 'tool_use';

/** The answer without calls that will never run: a request must not hold a call that has no result. */
const withoutCalls = (answer: ModelReply): ModelReply => ({
  ...answer,
  blocks: answer.blocks.filter((block) => !isCall(block)),
});

export interface CompletedStep {
  /** Of a reply that goes on, the calls that its next step waits for. */
  open: ToolCallRow[];
  /** Whether the model has called tools: then a further step follows. */
  goesOn: boolean;
  reply: MessageRow;
  session: SessionRow;
}

export const createCompleteStep = ({ log, catalogue }: { log: SessionLog; catalogue: Catalogue }) => {
  async function finish(tx: SessionTransaction, reply: MessageRow, answer: ModelReply) {
    const patch = {
      status: 'completed',
      stop_reason: answer.stopReason,
      // Until here `model` is the model to ask: a gateway may answer under a name that it refuses in requests, or under none.
      model: answer.model === '' ? reply.model : answer.model,
      completed_at: tx.now,
    } as const;
    await tx.messages.update(reply.id, patch);
    const finished = { ...reply, ...patch };
    tx.patch({ open_reply_id: null, expires_at: idleDeadline(tx.session.expires_after_seconds, tx.now) });
    const calls = await tx.messages.toolCalls([reply.id]);
    tx.append('message.completed', reply.id, { message: messageView(finished, calls) });
    return finished;
  }

  /** The step is not kept. Its text is, as of any reply that fails. */
  async function fail(tx: SessionTransaction, reply: MessageRow, error: ErrorDetail): Promise<CompletedStep> {
    // Closing reads the text of the log.
    await tx.flush();
    const failed = await closeReply(tx, reply, { status: 'failed', error });
    return { open: [], goesOn: false, reply: failed, session: tx.session };
  }

  /**
   * The last text, the step, its calls of tools and the ledger in one transaction; with the end of the reply, when the
   * model has called nothing, or when its stop reason lets no call run. @returns undefined for a refused writer.
   */
  return function completeStep(
    writer: StepWriter,
    rest: string,
    given: ModelReply,
    prepared: PreparedCall[] = [],
  ): Promise<CompletedStep | undefined> {
    // A call that looks whole may lack what was to come beside it.
    const mayCall = kindOfStop(given.stopReason) === 'other';
    const answer = mayCall ? given : withoutCalls(given);
    return fenced(log, writer, async (tx, open) => {
      appendDeltas(tx, writer, rest);
      tx.append('message.content_ended', open.id, { step: writer.step });
      const call = openCallOf(catalogue, writer, answer.usage);
      const usage = await charge(tx, call, { outcome: 'completed', errorCode: null });
      const total = addUsage(open, usage);
      const error = await uselessCalls(tx, open, answer.blocks, mayCall ? prepared : []);
      if (error) return fail(tx, { ...open, ...total }, error);
      await tx.messages.insertStep(stepRow(writer, answer, tx.now));
      const calls = await makeCalls(tx, writer, mayCall ? prepared : []);
      const patch = { ...grown(open, answer, calls), ...total };
      await tx.messages.update(open.id, patch);
      const reply = { ...open, ...patch };
      if (calls.length === 0) {
        const finished = await finish(tx, reply, answer);
        return { open: [], goesOn: false, reply: finished, session: tx.session };
      }
      // Nobody writes while the calls are answered, be it for weeks: no attempt may be missed.
      tx.patch(NO_LEASE);
      const announced = await announceCalls(tx, reply, calls);
      return { open: calls.filter(isOpen), goesOn: true, reply: announced, session: tx.session };
    });
  };
};
