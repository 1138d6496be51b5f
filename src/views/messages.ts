// Message rows as the API shows them.
import { toTimestamp, toTimestampOrNull, type Usage } from '../contracts/common.ts';
import { parseJson, stringifyJson } from '../contracts/json.ts';
import type { Message } from '../contracts/messages.ts';
import { toolCallsUrl } from '../contracts/tools.ts';
import { formatUsd } from '../models/catalogue.ts';
import { MESSAGE_ENVELOPE_BYTES, PAGE_BYTES_MAX } from '../stores/page-bytes.ts';
import type { MessageRow, ToolCallRow, UsageColumns } from '../stores/schema.ts';
import { fittingCalls, toolCallView, waitingFor } from './tool-calls.ts';

/** Separates the texts of two steps. Streamed at the beginning of the later step. */
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

/** Space for the calls of a message whose text alone fills the response. */
export const CALLS_BYTES_MIN = PAGE_BYTES_MAX / 4;

/** The text of a reply: its complete steps, possibly with the current step. */
type Said = Pick<Message, 'content' | 'content_blocks'>;

const saidIn = (row: MessageRow): Said => ({ content: row.text, content_blocks: parseJson(row.blocks) });

/** A message shows its full text, because no other response has the text. Its calls get the rest of the bound. */
const callsBytesMax = (said: Said): number =>
  Math.max(PAGE_BYTES_MAX - MESSAGE_ENVELOPE_BYTES - Buffer.byteLength(stringifyJson(said)), CALLS_BYTES_MIN);

function view(row: MessageRow, calls: readonly ToolCallRow[], said: Said): Message {
  const shown = calls.length === 0 ? calls : fittingCalls(calls, callsBytesMax(said));
  return {
    id: row.id,
    session_id: row.session_id,
    parent_id: row.parent_id,
    role: row.role,
    ...said,
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

/** @param calls The calls of a reply, in order. */
export const messageView = (row: MessageRow, calls: readonly ToolCallRow[] = []): Message =>
  view(row, calls, saidIn(row));

type Block = Message['content_blocks'][number];

/** The blocks of the complete steps, then the streamed text of the current step. */
export function blocksWith(row: MessageRow, text: string): Block[] {
  const complete: Block[] = parseJson(row.blocks);
  const rest = text.startsWith(row.text) ? text.slice(row.text.length) : text;
  const spoken = row.text === '' ? rest : rest.replace(STEP_SEPARATOR, '');
  return spoken === '' ? complete : [...complete, { type: 'text', text: spoken }];
}

/** A reply in progress, with the text that readers have received so far. */
export const partialView = (row: MessageRow, text: string, calls: readonly ToolCallRow[] = []): Message =>
  view(row, calls, { content: text, content_blocks: blocksWith(row, text) });
