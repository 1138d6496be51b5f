// The response to submitted results: the calls and their reply. The response repeats the results up to three times, so all
// three places share one bound.
import { shortMessage } from '../contracts/event-body.ts';
import { stringifyJson } from '../contracts/json.ts';
import type { Message, ShownMessage } from '../contracts/messages.ts';
import { type ShownToolCall, toolCallsUrl } from '../contracts/tools.ts';
import { PAGE_BYTES_MAX } from '../stores/page-bytes.ts';
import type { ToolCallRow } from '../stores/schema.ts';
import { bytesOfCalls, fittingCalls, toolCallView } from './tool-calls.ts';

/** Room for a message without its long fields, and for the ids of open calls. */
const REST_BYTES = 64 * 1024;

/** The response's own `tool_calls` has the new results. */
const withoutResults = (message: Message): Message => ({
  ...message,
  tool_calls: message.tool_calls.map((call) => ({ ...call, result: null })),
  ...{ truncated: true, url: toolCallsUrl(message.session_id) },
});

/** The most complete version of the reply that fits. */
function fittingMessage(message: Message, bytesMax: number): ShownMessage {
  const fits = (shown: Message) => Buffer.byteLength(stringifyJson(shown)) <= bytesMax;
  return [message, withoutResults(message)].find(fits) ?? shortMessage(message);
}

interface ResultsView {
  tool_call: ShownToolCall;
  tool_calls: ShownToolCall[];
  message: ShownMessage;
  truncated?: true;
  url?: string;
}

/**
 * @param first The first call. Clients read the response to a single result there.
 * @param message The whole reply.
 */
export function resultsView(
  first: ToolCallRow,
  calls: readonly ToolCallRow[],
  message: Message,
): ResultsView {
  const envelopes = bytesOfCalls(calls.map((call) => ({ ...call, result: null, parameters: '' })));
  const [shownFirst = first] = fittingCalls([first], PAGE_BYTES_MAX - REST_BYTES - envelopes);
  const left = PAGE_BYTES_MAX - REST_BYTES - bytesOfCalls([shownFirst]);
  const shown = fittingCalls(calls, left);
  const shownMessage = fittingMessage(message, left + REST_BYTES / 2 - bytesOfCalls(shown));
  const isWhole = shownFirst === first && shown === calls && shownMessage === message;
  return {
    tool_call: toolCallView(shownFirst),
    tool_calls: shown.map(toolCallView),
    message: shownMessage,
    ...(!isWhole && { truncated: true, url: toolCallsUrl(message.session_id) }),
  };
}
