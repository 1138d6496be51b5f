// A message row as the API shows it.
import { toTimestamp, toTimestampOrNull, type Usage } from '../contracts/common.ts';
import type { Message } from '../contracts/messages.ts';
import { formatUsd } from '../models/catalogue.ts';
import type { MessageRow, UsageColumns } from '../stores/schema.ts';

export function usageView(columns: UsageColumns): Usage {
  const { input_tokens, output_tokens, cache_creation_input_tokens, cache_read_input_tokens } = columns;
  return {
    input_tokens,
    output_tokens,
    cache_creation_input_tokens,
    cache_read_input_tokens,
    total_tokens: input_tokens + output_tokens + cache_creation_input_tokens + cache_read_input_tokens,
    cost_usd: formatUsd(columns.cost_nano_usd),
  };
}

export function messageView(row: MessageRow): Message {
  return {
    id: row.id,
    session_id: row.session_id,
    parent_id: row.parent_id,
    role: row.role,
    content: row.text,
    content_blocks: JSON.parse(row.blocks),
    status: row.status,
    stop_reason: row.stop_reason,
    model: row.model,
    usage: usageView(row),
    tool_calls: [],
    waiting_for: [],
    files: [],
    error: row.error === null ? null : JSON.parse(row.error),
    created_at: toTimestamp(row.created_at),
    completed_at: toTimestampOrNull(row.completed_at),
  };
}

/** A reply that is still being written shows what its readers have been sent so far. */
export function partialView(row: MessageRow, text: string): Message {
  const blocks = text === '' ? [] : [{ type: 'text', text }];
  return { ...messageView(row), content: text, content_blocks: blocks };
}
