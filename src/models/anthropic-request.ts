// A ModelRequest as the body of `POST /v1/messages`, with cache breakpoints on the stable prefix.

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
 * @returns a plain JSON object; the request is not changed.
 */
export function toMessagesBody(request: ModelRequest): Record<string, unknown> {
  const system = request.system ?? '';
  return {
    model: request.model,
    max_tokens: request.maxTokens,
    stream: true,
    ...(request.tools.length > 0 && { tools: toWireTools(request.tools) }),
    ...(system.trim() !== '' && { system: [{ type: 'text', text: system, cache_control: BREAKPOINT }] }),
    messages: markLastBlock(
      request.messages.map(toWireMessage).filter((message) => message.content.length > 0),
    ),
    ...(request.temperature !== null && { temperature: request.temperature }),
    ...(request.thinking !== null && { thinking: request.thinking }),
  };
}

/** The same request without the models' earlier thoughts; see `isForeignThinking` for when that is needed. */
export function withoutThinking(request: ModelRequest): ModelRequest {
  const messages = request.messages.map((message) => ({
    ...message,
    content: message.content.filter((block) => !isThinking(block)),
  }));
  return { ...request, messages };
}

export function hasThinking(request: ModelRequest): boolean {
  return request.messages.some((message) => message.content.some(isThinking));
}

function isThinking(block: ModelBlock): boolean {
  return block.type === 'thinking' || block.type === 'redacted_thinking';
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
