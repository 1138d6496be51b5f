// The cost of a model call: one ledger line per call, added to the session. The attempt writes the line, or else the
// transaction that replaces the attempt or closes its reply, from the usage reported while streaming.
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

/** A ledger line of a call still in progress, as stored in `sessions.open_call`. */
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

/** When a late call is charged, the open call may already belong to another attempt. */
const withoutCall = (open: string | null, id: string): string | null =>
  open !== null && (JSON.parse(open) as OpenCall).id === id ? null : open;

/** @returns the usage that the caller must add to the reply, whose row the caller writes anyway. */
export async function charge(tx: SessionTransaction, call: OpenCall, end: CallEnd): Promise<UsageColumns> {
  const line = { ...call, outcome: end.outcome, error_code: end.errorCode, ended_at: tx.now };
  await recordModelCall(tx.rows, line);
  tx.patch({ ...addUsage(tx.session, call), open_call: withoutCall(tx.session.open_call, call.id) });
  return call;
}

/**
 * Charges for the open call, as far as its provider has reported, before its attempt loses the fence. If the attempt
 * lives, `recordLateCall` adds later usage. @returns as `charge` does.
 */
export async function chargeOpenCall(tx: SessionTransaction, end: CallEnd): Promise<UsageColumns> {
  const { open_call } = tx.session;
  if (open_call === null) return NO_USAGE;
  const call = JSON.parse(open_call) as OpenCall;
  if (!(await findModelCall(tx.rows, call.id))) return charge(tx, call, end);
  // A lease renewal stored this usage after its call had ended.
  tx.patch({ open_call: null });
  return NO_USAGE;
}
