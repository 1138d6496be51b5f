// Tool call rows as the API shows them.
import { toTimestamp, toTimestampOrNull } from '../contracts/common.ts';
import { parseJson } from '../contracts/json.ts';
import { OPEN_TOOL_CALLS, type ToolCall } from '../contracts/tools.ts';
import { CALL_ENVELOPE_BYTES } from '../stores/page-bytes.ts';
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

/** Ids of calls that wait for a client's result. */
export const waitingFor = (calls: readonly ToolCallRow[]): string[] =>
  calls.filter(({ status }) => status === 'awaiting_result').map(({ id }) => id);

type Long = 'result' | 'parameters';

const bytesOf = (call: ToolCallRow, field: Long): number => Buffer.byteLength(call[field] ?? '');

const without = (call: ToolCallRow, field: Long): ToolCallRow =>
  field === 'result' ? { ...call, result: null } : { ...call, parameters: 'null' };

/** The order of fields to null. Clients act on the parameters of open calls, so those go last. */
const LONG_FIELDS: readonly [Long, (call: ToolCallRow) => boolean][] = [
  ['result', () => true],
  ['parameters', (call) => !isOpen(call)],
  ['parameters', isOpen],
];

/** Rows as stored have the size of a response, because both are JSON. */
export const bytesOfCalls = (calls: readonly ToolCallRow[]): number =>
  calls.reduce(
    (sum, call) => sum + CALL_ENVELOPE_BYTES + bytesOf(call, 'result') + bytesOf(call, 'parameters'),
    0,
  );

/**
 * The same calls within the bound. The oldest results become null first, then the oldest parameters. If ids and times alone
 * exceed the bound, the oldest answered calls are left out.
 */
export function fittingCalls(calls: readonly ToolCallRow[], bytesMax: number): readonly ToolCallRow[] {
  let excess = bytesOfCalls(calls) - bytesMax;
  if (excess <= 0) return calls;
  const shown = [...calls];
  for (const [field, isGivenUp] of LONG_FIELDS)
    for (const [index, call] of shown.entries()) {
      if (excess <= 0) return shown;
      if (!isGivenUp(call)) continue;
      shown[index] = without(call, field);
      excess -= bytesOf(call, field);
    }
  return shown.filter((call) => {
    if (excess <= 0 || isOpen(call)) return true;
    excess -= CALL_ENVELOPE_BYTES;
    return false;
  });
}
