// A message row as the API shows it.
import { toTimestamp, toTimestampOrNull, type Usage } from '../contracts/common.ts';
import { parseJson } from '../contracts/json.ts';
import type { Message } from '../contracts/messages.ts';
import { toolCallsUrl } from '../contracts/tools.ts';
import { formatUsd } from '../models/catalogue.ts';
import { PAGE_BYTES_MAX } from '../stores/page-bytes.ts';
import type { MessageRow, ToolCallRow, UsageColumns } from '../stores/schema.ts';
import { isOpen, toolCallView, waitingFor } from './tool-calls.ts';

/** Stands between the texts of two steps, streamed as the beginning of the later one. */
export const STEP_SEPARATOR = '\n\n';

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

/** What the calls of one message may show. A turn can have had tens of results of a megabyte each. */
const CALLS_BYTES_MAX = PAGE_BYTES_MAX;

type Long = 'result' | 'parameters';

const bytesOf = (call: ToolCallRow, field: Long): number => Buffer.byteLength(call[field] ?? '');

const without = (call: ToolCallRow, field: Long): ToolCallRow =>
  field === 'result' ? { ...call, result: null } : { ...call, parameters: 'null' };

/** Without the oldest results, and then the oldest parameters, beyond the bound. A client needs all of an open call. */
function fittingCalls(calls: readonly ToolCallRow[]): readonly ToolCallRow[] {
  const fields: Long[] = ['result', 'parameters'];
  const sizes = calls.flatMap((call) => fields.map((field) => bytesOf(call, field)));
  let excess = sizes.reduce((sum, bytes) => sum + bytes, 0) - CALLS_BYTES_MAX;
  if (excess <= 0) return calls;
  const shown = [...calls];
  for (const field of fields)
    for (const [index, call] of shown.entries()) {
      if (excess <= 0 || isOpen(call)) continue;
      shown[index] = without(call, field);
      excess -= bytesOf(call, field);
    }
  return shown;
}

/** @param calls Those of a reply, in their order. */
export function messageView(row: MessageRow, calls: readonly ToolCallRow[] = []): Message {
  const shown = fittingCalls(calls);
  return {
    id: row.id,
    session_id: row.session_id,
    parent_id: row.parent_id,
    role: row.role,
    content: row.text,
    content_blocks: parseJson(row.blocks),
    status: row.status,
    stop_reason: row.stop_reason,
    model: row.model,
    usage: usageView(row),
    tool_calls: shown.map(toolCallView),
    waiting_for: waitingFor(calls),
    files: [],
    error: row.error === null ? null : JSON.parse(row.error),
    created_at: toTimestamp(row.created_at),
    completed_at: toTimestampOrNull(row.completed_at),
    ...(shown !== calls && { truncated: true, url: toolCallsUrl(row.session_id) }),
  };
}

type Block = Message['content_blocks'][number];

/** The blocks of the complete steps, and after them what readers have of the step that is being written. */
export function blocksWith(row: MessageRow, text: string): Block[] {
  const complete: Block[] = parseJson(row.blocks);
  const rest = text.startsWith(row.text) ? text.slice(row.text.length) : text;
  const spoken = row.text === '' ? rest : rest.replace(STEP_SEPARATOR, '');
  return spoken === '' ? complete : [...complete, { type: 'text', text: spoken }];
}

/** A reply that is still being written shows what its readers have been sent so far. */
export function partialView(row: MessageRow, text: string, calls: readonly ToolCallRow[] = []): Message {
  return { ...messageView(row, calls), content: text, content_blocks: blocksWith(row, text) };
}
