// Converts a ModelRequest to the JSON body of `POST /v1/messages`, with cache breakpoints on the stable prefix.

import { stringifyJson } from '../contracts/json.ts';
import type { ModelBlock, ModelMessage, ModelRequest, ModelTool } from './port.ts';
import { isBlank } from './safe-text.ts';

/**
 * The API refuses text blocks without visible characters, but users do send blank messages. A blank message must not break
 * every later call of its session. The adapter can't drop the message either, because the reply belongs to it.
 */
export const BLANK_USER_TEXT = '(blank message)';

/** The block types in our conversations that may carry a breakpoint. The API refuses breakpoints on thinking blocks. */
const CACHEABLE_TYPES = new Set(['text', 'image', 'document', 'search_result', 'tool_use', 'tool_result']);

/** Cache entries live five minutes, and each hit renews them. A tool loop or an active chat keeps its prefix cached. */
const BREAKPOINT = { type: 'ephemeral' };

/**
 * The API takes four breakpoints. From each breakpoint it searches at most 20 blocks back for a cached prefix. One step may
 * hold far more blocks, so requests repeat earlier breakpoints at their old places. The API finds the cached prefix there.
 */
const BREAKPOINTS_MAX = 4;

/**
 * Builds the body of a streamed call and sets its cache breakpoints.
 * @returns the body as JSON. The request is not changed. The JSON of a message without a breakpoint is kept with the message
 * object. Most of a long conversation stays the same from turn to turn.
 */
export function toMessagesJson(asked: ModelRequest): string {
  const request = { ...asked, tools: asked.tools.length > 0 ? asked.tools : toolsForHistory(asked) };
  const marked = markedMessages(request);
  const texts = request.messages.flatMap((message) =>
    marked.has(message) ? stringifyJson(markLastBlock(toWireMessage(message))) : wireText(message),
  );
  const head = stringifyJson(toHead(request, BREAKPOINTS_MAX - marked.size));
  return `${head.slice(0, -1)},"messages":[${texts.join(',')}]}`;
}

/** The name matches no real tool, so no model takes the placeholder for an available tool. */
const PLACEHOLDER: ModelTool = {
  name: 'no_tool_available',
  description: 'A placeholder: there is no tool now. Do not call it.',
  inputSchema: { type: 'object', properties: {} },
};

/** Bedrock and LiteLLM refuse tool calls in a request without tools. This happens once a session's last tool is removed. */
const toolsForHistory = ({ messages }: ModelRequest): ModelTool[] =>
  messages.some(({ content }) => content.some(({ type }) => type === 'tool_use')) ? [PLACEHOLDER] : [];

/**
 * The messages that get a breakpoint:
 * - The last message, for the next request to find.
 * - The user's message before the last. In a turn with tool calls, the previous request had its breakpoint there.
 * - The message that began the previous turn. Thinking blocks leave the conversation when their turn ends. The later
 *   breakpoints of that turn are therefore useless to the next turn.
 */
function markedMessages(request: ModelRequest): Set<ModelMessage> {
  const sent = request.messages.filter(canBeMarked);
  const earlier = sent.slice(0, -1).filter(({ role }) => role === 'user');
  const start = earlier
    .slice(0, -1)
    .findLast(({ content }) => content.some(({ type }) => type !== 'tool_result'));
  // Without thinking, a breakpoint on the tools is worth more, because other sessions have the same tools.
  const isStartWorthIt = request.thinking !== null || !hasSystem(request) || request.tools.length === 0;
  const found = [sent.at(-1), earlier.at(-1), isStartWorthIt ? start : undefined];
  return new Set(found.filter((message) => message !== undefined));
}

const hasSystem = ({ system }: ModelRequest): boolean => !isBlank(system ?? '');

/** Decides without converting the message, because the search covers the whole conversation. Blank user messages become text. */
const canBeMarked = ({ role, content }: ModelMessage): boolean =>
  content.some((block) => CACHEABLE_TYPES.has(block.type) && !isBlankText(block)) ||
  (role === 'user' && content.every(isBlankText));

/**
 * Builds everything but the messages and uses the breakpoints the messages left over. The system prompt follows the tools, so
 * its breakpoint covers the tools too.
 */
function toHead(request: ModelRequest, breakpoints: number): Record<string, unknown> {
  const isToolMarked = breakpoints > (hasSystem(request) ? 1 : 0);
  return {
    model: request.model,
    max_tokens: request.maxTokens,
    stream: true,
    ...(request.tools.length > 0 && { tools: toWireTools(request.tools, isToolMarked) }),
    ...(hasSystem(request) && {
      system: [{ type: 'text', text: request.system, cache_control: BREAKPOINT }],
    }),
    ...(request.temperature !== null && { temperature: request.temperature }),
    ...(request.thinking !== null && { thinking: request.thinking }),
  };
}

const wireTexts = new WeakMap<ModelMessage, string>();

/** @returns [] for a message without content. */
function wireText(message: ModelMessage): string[] {
  const known = wireTexts.get(message);
  if (known !== undefined) return known === '' ? [] : [known];
  const wire = toWireMessage(message);
  const text = wire.content.length > 0 ? stringifyJson(wire) : '';
  wireTexts.set(message, text);
  return text === '' ? [] : [text];
}

function toWireTools(tools: ModelTool[], isMarked: boolean): Record<string, unknown>[] {
  return tools.map((tool, index) => ({
    name: tool.name,
    description: tool.description,
    input_schema: tool.inputSchema,
    ...(isMarked && index === tools.length - 1 && { cache_control: BREAKPOINT }),
  }));
}

function toWireMessage(message: ModelMessage): ModelMessage {
  const content = message.content.filter((block) => !isBlankText(block)).map(toWireBlock);
  if (content.length > 0 || message.role === 'assistant') return { role: message.role, content };
  return { role: 'user', content: [{ type: 'text', text: BLANK_USER_TEXT }] };
}

function isBlankText(block: ModelBlock): boolean {
  return block.type === 'text' && (typeof block.text !== 'string' || isBlank(block.text));
}

/** Drops our own marker, which the API would refuse, and any breakpoint of an earlier call. */
function toWireBlock(block: ModelBlock): ModelBlock {
  const { invalid_input_json: _marker, cache_control: _breakpoint, ...rest } = block;
  return rest as ModelBlock;
}

function markLastBlock({ role, content }: ModelMessage): ModelMessage {
  const index = content.findLastIndex((block) => CACHEABLE_TYPES.has(block.type));
  return {
    role,
    content: content.map((block, at) => (at === index ? { ...block, cache_control: BREAKPOINT } : block)),
  };
}
