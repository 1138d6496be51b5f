// Ends a successful model step: with the reply, or with the tool calls that the next step waits for.
import type { ErrorDetail } from '../contracts/errors.ts';
import { parseJson, stringifyJson } from '../contracts/json.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { ModelBlock, ModelReply } from '../models/port.ts';
import { findModelCall, type SessionLog, type SessionTransaction } from '../stores/log.ts';
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
 * Content blocks as the API shows them: text, thinking and calls. The step row keeps the model's own blocks. The n-th
 * `tool_use` belongs to the n-th call, whatever ids the provider sent.
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

/** The reply extended by one complete step. */
function grown(reply: MessageRow, answer: ModelReply, calls: ToolCallRow[]) {
  const text = textOf(answer.blocks);
  const separator = reply.text !== '' && text !== '' ? STEP_SEPARATOR : '';
  return {
    text: `${reply.text}${separator}${text}`,
    blocks: stringifyJson([...parseJson<ShownBlock[]>(reply.blocks), ...shownBlocks(answer.blocks, calls)]),
  };
}

const isCall = ({ type }: ModelBlock): boolean => type === 'tool_use';

/** Drops calls that will never run. A request must not contain a call without a result. */
const withoutCalls = (answer: ModelReply): ModelReply => ({
  ...answer,
  blocks: answer.blocks.filter((block) => !isCall(block)),
});

export interface CompletedStep {
  /** If the reply continues: the calls that its next step waits for. */
  open: ToolCallRow[];
  /** True if the model called tools, so a further step follows. */
  goesOn: boolean;
  reply: MessageRow;
  session: SessionRow;
}

/** The step as an earlier commit of the same writer left it: the commit's acknowledgement was lost, and the write repeated. */
async function recorded(
  tx: SessionTransaction,
  { step }: StepWriter,
  reply: MessageRow,
): Promise<CompletedStep> {
  const calls = await tx.messages.toolCalls([reply.id]);
  const open = calls.filter((call) => call.step === step && isOpen(call));
  return { open, goesOn: true, reply, session: tx.session };
}

export const createCompleteStep = ({ log, catalogue }: { log: SessionLog; catalogue: Catalogue }) => {
  async function finish(tx: SessionTransaction, reply: MessageRow, answer: ModelReply) {
    const patch = {
      status: 'completed',
      stop_reason: answer.stopReason,
      // Until here `model` is the name to request. A gateway may answer under a name that it refuses in requests, or under none.
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

  /** Fails the reply. The step row isn't stored, but its text is kept, as for any failed reply. */
  async function fail(tx: SessionTransaction, reply: MessageRow, error: ErrorDetail): Promise<CompletedStep> {
    // Closing reads the text from the session log.
    await tx.flush();
    const failed = await closeReply(tx, reply, { status: 'failed', error });
    return { open: [], goesOn: false, reply: failed, session: tx.session };
  }

  /**
   * Stores the last text, the step, its tool calls and the ledger line in one transaction. Also ends the reply if the
   * model called no tool, or if the stop reason allows no call. @returns undefined for a refused writer.
   */
  return function completeStep(
    writer: StepWriter,
    rest: string,
    given: ModelReply,
    prepared: PreparedCall[] = [],
  ): Promise<CompletedStep | undefined> {
    // After a cut, a call that looks complete may lack other calls of the same step.
    const mayCall = kindOfStop(given.stopReason) === 'other';
    const answer = mayCall ? given : withoutCalls(given);
    return fenced(log, writer, async (tx, open) => {
      if (await findModelCall(tx.rows, writer.callId)) return recorded(tx, writer, open);
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
      // No attempt writes while the calls wait for results, even for weeks, so no lease may expire.
      tx.patch(NO_LEASE);
      const announced = await announceCalls(tx, reply, calls);
      return { open: calls.filter(isOpen), goesOn: true, reply: announced, session: tx.session };
    });
  };
};
