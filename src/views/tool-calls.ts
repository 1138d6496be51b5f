// A row of a tool call as the API shows it.
import { toTimestamp, toTimestampOrNull } from '../contracts/common.ts';
import { parseJson } from '../contracts/json.ts';
import { OPEN_TOOL_CALLS, type ToolCall } from '../contracts/tools.ts';
import type { ToolCallRow } from '../stores/schema.ts';

export const toolCallView = (row: ToolCallRow): ToolCall => ({
  id: row.id,
  name: row.name,
  type: row.type,
  parameters: parseJson(row.parameters),
  status: row.status,
  result: row.result === null ? null : parseJson(row.result),
  is_error: row.is_error === 1,
  session_id: row.session_id,
  message_id: row.message_id,
  effect_id: null,
  expires_at: toTimestampOrNull(row.expires_at),
  created_at: toTimestamp(row.created_at),
  completed_at: toTimestampOrNull(row.completed_at),
});

export const isOpen = ({ status }: Pick<ToolCallRow, 'status'>): boolean => OPEN_TOOL_CALLS.includes(status);

/** Calls that wait for the client's own result. */
export const waitingFor = (calls: readonly ToolCallRow[]): string[] =>
  calls.filter(({ status }) => status === 'awaiting_result').map(({ id }) => id);
