// The event that asks a client for the results of its calls. A turn writes one for each step and each partial result, so the
// event holds what is new: the log grows with the work of a turn, and not with its square.
import { type EventData, messageUrl } from '../contracts/events.ts';
import { stringifyJson } from '../contracts/json.ts';
import type { Message } from '../contracts/messages.ts';
import type { MessageRow, ToolCallRow } from '../stores/schema.ts';
import { messageView } from './messages.ts';
import { isOpen } from './tool-calls.ts';

type RequiresAction = EventData<'message.requires_action'>;

/** What one event may repeat of earlier ones. Webhooks carry as much. */
const REPEATED_BYTES_MAX = 64 * 1024;

const isShort = (message: RequiresAction['message']): boolean =>
  Buffer.byteLength(stringifyJson(message)) <= REPEATED_BYTES_MAX;

/** The same message with the inputs of these calls only, and without its text. */
const withoutLong = (message: Message, isNew: (id: string) => boolean): RequiresAction['message'] => ({
  ...message,
  content: null,
  content_blocks: null,
  tool_calls: message.tool_calls.map((call) => (isNew(call.id) ? call : { ...call, parameters: null })),
});

/** The same message without the calls that have been answered. */
const withoutAnswered = (
  message: RequiresAction['message'],
  isNew: (id: string) => boolean,
): RequiresAction['message'] => ({
  ...message,
  tool_calls: message.tool_calls.filter(({ id, status }) => isNew(id) || isOpen({ status })),
});

/**
 * Results are never in it, since each was told when it came. Texts and inputs of before are in it as long as they are short.
 * @param calls All calls of the reply, in their order.
 * @param newIds Those of the step that has just been completed: their inputs are always in it.
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
  // What is new does not count: it is written once.
  const repeats = (of: RequiresAction['message']): RequiresAction['message'] => ({
    ...of,
    tool_calls: of.tool_calls.map((call) => (isNew(call.id) ? { ...call, parameters: null } : call)),
  });
  const short = withoutLong(message, isNew);
  const shown = [message, short].find((each) => isShort(repeats(each))) ?? withoutAnswered(short, isNew);
  const isWhole = shown === message && calls.every(isOpen);
  return isWhole ? { message } : { message: shown, truncated: true, url: messageUrl(row.session_id, row.id) };
}
