// A ModelRequest as the body of `POST /v1/messages`, with cache breakpoints on the stable prefix.

import { stringifyJson } from '../contracts/json.ts';
import type { ModelBlock, ModelMessage, ModelRequest } from './port.ts';

/**
 * The API refuses text blocks without visible characters, while people do send blank messages. Such a message
 * must not make every later call of its session fail, and cannot be left out: the model answers to it.
 */
export const BLANK_USER_TEXT = '(blank message)';

/** Blocks the API takes a breakpoint on, of those a conversation of ours holds; thinking is refused. */
const CACHEABLE_TYPES = new Set(['text', 'image', 'document', 'search_result', 'tool_use', 'tool_result']);

/** Cache entries live five minutes and each hit renews them: a tool loop or a chat keeps its prefix warm. */
const BREAKPOINT = { type: 'ephemeral' };

/**
 * Shapes a streamed call. At most three of the API's four breakpoints are set: last tool, system, last message.
 * @returns the body as JSON; the request is not changed. Every message but the last is written once and then remembered with its
 * object, for a long conversation is the same from turn to turn but for its end.
 */
export function toMessagesJson(request: ModelRequest): string {
  const { messages, ...head } = toHead(request);
  const earlier = request.messages
    .slice(0, Math.max(lastIndex(request), 0))
    .flatMap((message) => wireText(message));
  const texts = [...earlier, ...messages.map((message) => stringifyJson(message))];
  return `${stringifyJson(head).slice(0, -1)},"messages":[${texts.join(',')}]}`;
}

/** The last message that has anything to say. */
const lastIndex = ({ messages }: ModelRequest): number =>
  messages.findLastIndex((message) => toWireMessage(message).content.length > 0);

/** Everything that may differ from turn to turn: the settings, and the last message with its breakpoint. */
function toHead(request: ModelRequest): { messages: ModelMessage[] } & Record<string, unknown> {
  const system = request.system ?? '';
  const last = request.messages[lastIndex(request)];
  return {
    model: request.model,
    max_tokens: request.maxTokens,
    stream: true,
    ...(request.tools.length > 0 && { tools: toWireTools(request.tools) }),
    ...(system.trim() !== '' && { system: [{ type: 'text', text: system, cache_control: BREAKPOINT }] }),
    ...(request.temperature !== null && { temperature: request.temperature }),
    ...(request.thinking !== null && { thinking: request.thinking }),
    messages: markLastBlock(last ? [toWireMessage(last)] : []),
  };
}

const wireTexts = new WeakMap<ModelMessage, string>();

/** @returns nothing for a message that has nothing to say. */
function wireText(message: ModelMessage): string[] {
  const known = wireTexts.get(message);
  if (known !== undefined) return known === '' ? [] : [known];
  const wire = toWireMessage(message);
  const text = wire.content.length > 0 ? stringifyJson(wire) : '';
  wireTexts.set(message, text);
  return text === '' ? [] : [text];
}

function toWireTools(tools: ModelRequest['tools']): Record<string, unknown>[] {
  return tools.map((tool, index) => ({
    name: tool.name,
    description: tool.description,
    input_schema: tool.inputSchema,
    ...(index === tools.length - 1 && { cache_control: BREAKPOINT }),
  }));
}

function toWireMessage(message: ModelMessage): ModelMessage {
  const content = message.content.filter((block) => !isBlankText(block)).map(toWireBlock);
  if (content.length > 0 || message.role === 'assistant') return { role: message.role, content };
  return { role: 'user', content: [{ type: 'text', text: BLANK_USER_TEXT }] };
}

function isBlankText(block: ModelBlock): boolean {
  return block.type === 'text' && (typeof block.text !== 'string' || block.text.trim() === '');
}

/** Leaves out our own marker, which the API would refuse, and breakpoints that are not this call's. */
function toWireBlock(block: ModelBlock): ModelBlock {
  const { invalid_input_json: _marker, cache_control: _breakpoint, ...rest } = block;
  return rest as ModelBlock;
}

function markLastBlock(messages: ModelMessage[]): ModelMessage[] {
  const last = messages.at(-1);
  const index = last?.content.findLastIndex((block) => CACHEABLE_TYPES.has(block.type)) ?? -1;
  if (last === undefined || index < 0) return messages;
  const content = last.content.map((block, at) =>
    at === index ? { ...block, cache_control: BREAKPOINT } : block,
  );
  return [...messages.slice(0, -1), { role: last.role, content }];
}
