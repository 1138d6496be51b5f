// What a model call has cost: a line of the ledger, added to the session.
import { newId } from '../ids.ts';
import { type Catalogue, costNanoUsd } from '../models/catalogue.ts';
import type { ModelUsage } from '../models/port.ts';
import { recordModelCall, type SessionTransaction } from '../stores/log.ts';
import { addUsage, type UsageColumns } from '../stores/schema.ts';
import type { StepWriter } from './step-writer.ts';

/** How a model call has ended. */
export interface EndedCall {
  usage: ModelUsage;
  outcome: 'completed' | 'failed';
  errorCode: string | null;
}

function usageColumns(catalogue: Catalogue, model: string, usage: ModelUsage): UsageColumns {
  const entry = catalogue.find(model);
  return {
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    cache_creation_input_tokens: usage.cacheCreationInputTokens,
    cache_read_input_tokens: usage.cacheReadInputTokens,
    cost_nano_usd: entry ? costNanoUsd(entry.prices, usage) : 0,
  };
}

/** @returns what the caller has to add to the reply, whose row it writes anyway. */
export async function charge(
  tx: SessionTransaction,
  catalogue: Catalogue,
  { sessionId, replyId, step, model }: StepWriter,
  call: EndedCall,
): Promise<UsageColumns> {
  const usage = usageColumns(catalogue, model, call.usage);
  await recordModelCall(tx.rows, {
    id: newId('mcall'),
    session_id: sessionId,
    reply_id: replyId,
    step,
    model,
    outcome: call.outcome,
    error_code: call.errorCode,
    ended_at: tx.now,
    ...usage,
  });
  tx.patch(addUsage(tx.session, usage));
  return usage;
}
