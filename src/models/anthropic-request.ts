// A ModelRequest as the body of `POST /v1/messages`, with cache breakpoints on the stable prefix.

import { stringifyJson } from '../contracts/json.ts';
import type { ModelBlock, ModelMessage, ModelRequest, ModelTool } from './port.ts';
import { isBlank } from './safe-text.ts';

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
 * The API takes four breakpoints, and finds what it has cached at most 20 blocks before one of them. One step may hold far more
 * blocks than that, so earlier breakpoints are repeated at their old places: the prefix found there is the very one that was cached.
 */
const BREAKPOINTS_MAX = 4;

/**
 * Shapes a streamed call and sets its cache breakpoints.
 * @returns the body as JSON; the request is not changed. A message without a breakpoint is written once and then remembered with
 * its object, for a long conversation is the same from turn to turn but for its end.
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

/** It has no name of a real tool, so that no model takes one for available. */
const PLACEHOLDER: ModelTool = {
  name: 'no_tool_available',
  description: 'A placeholder: there is no tool now. Do not call it.',
  inputSchema: { type: 'object', properties: {} },
};

/** Bedrock and LiteLLM refuse calls in a request without tools, as after the last tool of a session was removed. */
const toolsForHistory = ({ messages }: ModelRequest): ModelTool[] =>
  messages.some(({ content }) => content.some(({ type }) => type === 'tool_use')) ? [PLACEHOLDER] : [];

/**
 * The messages that get a breakpoint:
 * - the last one, for the next request to find;
 * - the user's message before it, where the last request of a turn that calls tools had its breakpoint;
 * - the one where the turn before began. Thoughts leave the conversation when their turn is over, so the later breakpoints of
 *   that turn are worth nothing to the next one.
 */
function markedMessages(request: ModelRequest): Set<ModelMessage> {
  const sent = request.messages.filter(canBeMarked);
  const earlier = sent.slice(0, -1).filter(({ role }) => role === 'user');
  const start = earlier
    .slice(0, -1)
    .findLast(({ content }) => content.some(({ type }) => type !== 'tool_result'));
  // Without thoughts the breakpoint of the tools is worth more: other sessions have the same tools.
  const isStartWorthIt = request.thinking !== null || !hasSystem(request) || request.tools.length === 0;
  const found = [sent.at(-1), earlier.at(-1), isStartWorthIt ? start : undefined];
  return new Set(found.filter((message) => message !== undefined));
}

const hasSystem = ({ system }: ModelRequest): boolean => !isBlank(system ?? '');

/** Looks without writing the message, because it looks at the whole conversation. A blank message of the user is sent as text. */
const canBeMarked = ({ role, content }: ModelMessage): boolean =>
  content.some((block) => CACHEABLE_TYPES.has(block.type) && !isBlankText(block)) ||
  (role === 'user' && content.every(isBlankText));

/**
 * Everything but the messages, with the breakpoints that these have left. The system prompt comes after the tools, so that its
 * breakpoint covers them.
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

/** @returns nothing for a message that has nothing to say. */
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

/** Leaves out our own marker, which the API would refuse, and breakpoints that are not this call's. */
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
