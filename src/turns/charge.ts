// What a model call has cost: a line of the ledger, added to the session. One line a call, whoever writes it: the attempt
// itself, or the one that finds it dead or takes its place, from what the attempt had told the store while it spoke.
import { type Catalogue, costNanoUsd } from '../models/catalogue.ts';
import type { ModelUsage } from '../models/port.ts';
import { findModelCall, recordModelCall, type SessionTransaction } from '../stores/log.ts';
import {
  addUsage,
  type CallOutcome,
  type ModelCallRow,
  NO_USAGE,
  type UsageColumns,
} from '../stores/schema.ts';
import type { StepWriter } from './step-writer.ts';

export interface CallEnd {
  outcome: CallOutcome;
  errorCode: string | null;
}

/** A line of the ledger before its end: what `sessions.open_call` holds. */
type OpenCall = Omit<ModelCallRow, 'outcome' | 'error_code' | 'ended_at'>;

export function openCallOf(catalogue: Catalogue, writer: StepWriter, usage: ModelUsage): OpenCall {
  const entry = catalogue.find(writer.model);
  return {
    id: writer.callId,
    session_id: writer.sessionId,
    reply_id: writer.replyId,
    step: writer.step,
    model: writer.model,
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    cache_creation_input_tokens: usage.cacheCreationInputTokens,
    cache_read_input_tokens: usage.cacheReadInputTokens,
    cost_nano_usd: entry ? costNanoUsd(entry.prices, usage) : 0,
  };
}

/** Another attempt's call may be under way by the time at which a late one is charged for. */
const withoutCall = (open: string | null, id: string): string | null =>
  open !== null && (JSON.parse(open) as OpenCall).id === id ? null : open;

/** @returns what the caller has to add to the reply, whose row it writes anyway. */
export async function charge(tx: SessionTransaction, call: OpenCall, end: CallEnd): Promise<UsageColumns> {
  const line = { ...call, outcome: end.outcome, error_code: end.errorCode, ended_at: tx.now };
  await recordModelCall(tx.rows, line);
  tx.patch({ ...addUsage(tx.session, call), open_call: withoutCall(tx.session.open_call, call.id) });
  return call;
}

/**
 * Charges for the call that was under way, as far as its provider had told, before its attempt loses the fence. What the
 * attempt learns later, if it lives, `recordLateCall` adds. @returns as `charge` does.
 */
export async function chargeOpenCall(tx: SessionTransaction, end: CallEnd): Promise<UsageColumns> {
  const { open_call } = tx.session;
  if (open_call === null) return NO_USAGE;
  const call = JSON.parse(open_call) as OpenCall;
  if (!(await findModelCall(tx.rows, call.id))) return charge(tx, call, end);
  // The word of a lease's renewal that was overtaken by the end of its call.
  tx.patch({ open_call: null });
  return NO_USAGE;
}
