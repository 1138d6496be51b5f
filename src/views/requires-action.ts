// The event that asks a client for tool results. A turn writes such an event for each step and each partial result. Each event
// holds mainly new data, so that the log grows linearly with the turn instead of quadratically.
import { type EventData, messageUrl } from '../contracts/events.ts';
import { stringifyJson } from '../contracts/json.ts';
import type { Message } from '../contracts/messages.ts';
import type { MessageRow, ToolCallRow } from '../stores/schema.ts';
import { messageView } from './messages.ts';
import { isOpen } from './tool-calls.ts';

type RequiresAction = EventData<'message.requires_action'>;

/** Bytes that an event may repeat from earlier events. Webhooks carry as much. */
const REPEATED_BYTES_MAX = 64 * 1024;

const isShort = (message: RequiresAction['message']): boolean =>
  Buffer.byteLength(stringifyJson(message)) <= REPEATED_BYTES_MAX;

/** The same message without its text, and with the inputs of new calls only. */
const withoutLong = (message: Message, isNew: (id: string) => boolean): RequiresAction['message'] => ({
  ...message,
  content: null,
  content_blocks: null,
  tool_calls: message.tool_calls.map((call) => (isNew(call.id) ? call : { ...call, parameters: null })),
});

/** The same message without the calls answered earlier. */
const withoutAnswered = (
  message: RequiresAction['message'],
  isNew: (id: string) => boolean,
): RequiresAction['message'] => ({
  ...message,
  tool_calls: message.tool_calls.filter(({ id, status }) => isNew(id) || isOpen({ status })),
});

/**
 * Leaves out all results, because each had its own event. Earlier texts and inputs are included while they are short.
 * @param calls All calls of the reply, in order.
 * @param newIds Calls of the step just completed. Their inputs are always included.
 */
export function requiresActionView(
  row: MessageRow,
  calls: readonly ToolCallRow[],
  newIds: ReadonlySet<string>,
): RequiresAction {
  const isNew = (id: string) => newIds.has(id);
  const message = messageView(
    row,
    calls.map((call) => ({ ...call, result: null })),
  );
  // New data doesn't count, because each call is new only once.
  const repeats = (of: RequiresAction['message']): RequiresAction['message'] => ({
    ...of,
    tool_calls: of.tool_calls.map((call) => (isNew(call.id) ? { ...call, parameters: null } : call)),
  });
  const short = withoutLong(message, isNew);
  const shown = [message, short].find((each) => isShort(repeats(each))) ?? withoutAnswered(short, isNew);
  const isWhole = shown === message && calls.every(isOpen);
  return isWhole ? { message } : { message: shown, truncated: true, url: messageUrl(row.session_id, row.id) };
}
