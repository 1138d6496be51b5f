// Tool calls in the store: created with a complete step, settled once, announced while the client's results are missing.
import { stringifyJson } from '../contracts/json.ts';
import type { OnTimeout, ToolCallStatus } from '../contracts/tools.ts';
import { newId } from '../ids.ts';
import type { SessionTransaction } from '../stores/log.ts';
import type { MessageRow, ToolCallPatch, ToolCallRow } from '../stores/schema.ts';
import { requiresActionView } from '../views/requires-action.ts';
import { toolCallView } from '../views/tool-calls.ts';
import type { StepWriter } from './step-writer.ts';

/** A call as the model made it, checked against the offered tools. */
export interface PreparedCall {
  /** The provider's own id for the call. */
  providerId: string;
  name: string;
  type: ToolCallRow['type'];
  /** With defaults applied. */
  parameters: Record<string, unknown>;
  /** Why the call can't run. The call gets this text as its result immediately and is never executed. */
  refusal: string | null;
  timeoutSeconds: number | null;
  onTimeout: OnTimeout;
}

export interface Outcome {
  status: Exclude<ToolCallStatus, 'running' | 'awaiting_result' | 'awaiting_approval' | 'unknown'>;
  /** Any JSON value. */
  result: unknown;
  isError: boolean;
}

const patchOf = (outcome: Outcome, now: number) =>
  ({
    status: outcome.status,
    result: stringifyJson(outcome.result),
    is_error: outcome.isError ? 1 : 0,
    completed_at: now,
  }) satisfies ToolCallPatch;

/** Gives an open call its one result. */
export async function settleCall(
  tx: SessionTransaction,
  call: ToolCallRow,
  outcome: Outcome,
): Promise<ToolCallRow> {
  const patch = patchOf(outcome, tx.now);
  await tx.messages.updateToolCall(call.id, patch);
  const settled = { ...call, ...patch };
  tx.append('tool.completed', call.message_id, { tool_call: toolCallView(settled) });
  return settled;
}

const REFUSED = { status: 'failed', isError: true } as const;

/** A refused call gets its result in the transaction that creates the call. A call that runs takes longer. */
export const wasRefused = ({ status, created_at, completed_at }: Omit<ToolCallRow, 'result'>): boolean =>
  status === REFUSED.status && completed_at === created_at;

const newRow = (
  tx: SessionTransaction,
  { replyId, step }: StepWriter,
  call: PreparedCall,
  position: number,
): ToolCallRow => ({
  id: newId('call'),
  session_id: tx.session.id,
  account_id: tx.session.account_id,
  message_id: replyId,
  step,
  position,
  provider_id: call.providerId,
  name: call.name,
  type: call.type,
  parameters: stringifyJson(call.parameters),
  // Clients act on calls with status `awaiting_result`. A refused call must never show that status, even in its announcement.
  status: call.type === 'custom' && call.refusal === null ? 'awaiting_result' : 'running',
  result: null,
  is_error: 0,
  on_timeout: call.onTimeout,
  expires_at: call.timeoutSeconds === null ? null : tx.now + call.timeoutSeconds * 1_000,
  created_at: tx.now,
  completed_at: null,
});

/** Writes the calls of a complete step. A refused call gets its result at once. */
export async function makeCalls(
  tx: SessionTransaction,
  writer: StepWriter,
  calls: PreparedCall[],
): Promise<ToolCallRow[]> {
  const made = calls.map((call, index) => {
    const called = newRow(tx, writer, call, index);
    if (call.refusal === null) return { called, row: called };
    return { called, row: { ...called, ...patchOf({ ...REFUSED, result: call.refusal }, tx.now) } };
  });
  await tx.messages.insertToolCalls(made.map(({ row }) => row));
  for (const { called, row } of made) {
    tx.append('tool.called', row.message_id, { tool_call: toolCallView(called) });
    if (row !== called) tx.append('tool.completed', row.message_id, { tool_call: toolCallView(row) });
  }
  return made.map(({ row }) => row);
}

/**
 * Sets the reply's status from its open calls, and announces the results still missing from the client.
 * @param made The calls of the step that was just completed.
 */
export async function announceCalls(
  tx: SessionTransaction,
  reply: MessageRow,
  made: readonly ToolCallRow[] = [],
): Promise<MessageRow> {
  const open = await tx.messages.openToolCalls(reply.id);
  const needsClient = open.some(({ status }) => status === 'awaiting_result');
  const status = needsClient ? 'requires_action' : 'in_progress';
  const row: MessageRow = { ...reply, status };
  if (reply.status !== status) await tx.messages.update(reply.id, { status });
  if (needsClient) {
    const calls = await tx.messages.toolCallsWithoutResults(reply.id);
    const newIds = new Set(made.map(({ id }) => id));
    tx.append('message.requires_action', reply.id, requiresActionView(row, calls, newIds));
  }
  return row;
}

/** Cancels the open calls of an ended turn. The model reads the reason if the conversation continues from here. */
export async function cancelOpenCalls(tx: SessionTransaction, replyId: string, why: string): Promise<void> {
  for (const call of await tx.messages.openToolCalls(replyId))
    await settleCall(tx, call, { status: 'cancelled', result: why, isError: true });
}
