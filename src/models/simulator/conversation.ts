// What the simulator reads out of a request: a checked conversation, or the refusal the real API would give.

import { isRecord } from '../tool-input.ts';

export interface WireBlock extends Record<string, unknown> {
  type: string;
}

export interface WireMessage {
  role: 'user' | 'assistant';
  content: WireBlock[];
}

export interface Conversation {
  model: string;
  maxTokens: number;
  isStream: boolean;
  hasSystem: boolean;
  toolNames: string[];
  messages: WireMessage[];
}

/** A request the real API answers with this status; the message is close to the original's. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Anthropic retired these on 2026-06-15: asking for one shows that an alias was not resolved. */
const RETIRED_MODELS = new Set(['claude-sonnet-4-20250514', 'claude-opus-4-20250514']);

const BREAKPOINTS_MAX = 4;

/** @throws {RefusedError} for what the real API refuses. */
export function readConversation(body: unknown, apiVersion: string): Conversation {
  if (!isRecord(body)) throw new RefusedError(400, 'The request body is not valid JSON');
  const messages = toMessages(body.messages);
  checkSettings(body, apiVersion);
  checkMessages(messages);
  checkBreakpoints(body, messages);
  return {
    model: String(body.model),
    maxTokens: Number(body.max_tokens),
    isStream: body.stream === true,
    hasSystem: body.system !== undefined,
    toolNames: toolNames(body.tools),
    messages,
  };
}

/** @throws {RefusedError} when it is no list of messages with readable content. */
export function toMessages(value: unknown): WireMessage[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new RefusedError(400, 'messages: at least one message is required');
  return value.map((message, index) => {
    const role = isRecord(message) ? message.role : undefined;
    if (role !== 'user' && role !== 'assistant')
      throw new RefusedError(400, `messages.${index}.role: Input should be 'user' or 'assistant'`);
    return { role, content: toBlocks((message as Record<string, unknown>).content, index) };
  });
}

/** The text people read: all text blocks of one message. */
export function textOf(message: WireMessage): string {
  return message.content
    .filter((block) => block.type === 'text')
    .map((block) => String(block.text))
    .join('\n');
}

/** The last text a user wrote; tool results are none. '' when there is none. */
export function lastUserText(messages: WireMessage[]): string {
  return (
    messages
      .filter((message) => message.role === 'user')
      .map(textOf)
      .findLast((text) => text !== '') ?? ''
  );
}

function toBlocks(content: unknown, index: number): WireBlock[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (!Array.isArray(content) || content.length === 0) {
    throw new RefusedError(400, `messages.${index}: all messages must have non-empty content`);
  }
  return content.map((block, at) => {
    if (isRecord(block) && typeof block.type === 'string') return block as WireBlock;
    throw new RefusedError(400, `messages.${index}.content.${at}.type: Field required`);
  });
}

function checkSettings(body: Record<string, unknown>, apiVersion: string): void {
  if (typeof body.model !== 'string' || body.model === '')
    throw new RefusedError(400, 'model: Field required');
  if (RETIRED_MODELS.has(body.model)) throw new RefusedError(404, `model: ${body.model}`);
  if (!Number.isInteger(body.max_tokens) || Number(body.max_tokens) < 1) {
    throw new RefusedError(400, 'max_tokens: Input should be greater than or equal to 1');
  }
  if (body.temperature !== undefined && apiVersion >= '2026-10-21') {
    throw new RefusedError(400, 'temperature: Extra inputs are not permitted');
  }
  const names = toolNames(body.tools);
  if (new Set(names).size !== names.length) throw new RefusedError(400, 'tools: Tool names must be unique.');
}

function toolNames(tools: unknown): string[] {
  return Array.isArray(tools) ? tools.map((tool) => String(isRecord(tool) ? tool.name : '')) : [];
}

function checkMessages(messages: WireMessage[]): void {
  if (messages[0]?.role !== 'user')
    throw new RefusedError(400, 'messages: first message must use the "user" role');
  if (messages.at(-1)?.role !== 'user') {
    throw new RefusedError(
      400,
      'This model does not support assistant message prefill. The conversation must end with a user message.',
    );
  }
  messages.forEach((message, index) => {
    for (const block of message.content) checkBlock(block, index);
    checkToolCalls(message, messages[index + 1], index);
    checkToolResults(message, messages[index - 1], index);
  });
}

function checkBlock(block: WireBlock, index: number): void {
  if (block.type === 'text' && String(block.text ?? '') === '') {
    throw new RefusedError(400, 'messages: text content blocks must be non-empty');
  }
  if (block.type === 'text' && String(block.text).trim() === '') {
    throw new RefusedError(400, 'messages: text content blocks must contain non-whitespace text');
  }
  if (block.invalid_input_json !== undefined) {
    throw new RefusedError(
      400,
      `messages.${index}.content: invalid_input_json: Extra inputs are not permitted`,
    );
  }
}

function checkToolCalls(message: WireMessage, next: WireMessage | undefined, index: number): void {
  const answered = new Set(idsOf(next, 'tool_result', 'tool_use_id'));
  const open = idsOf(message, 'tool_use', 'id').filter((id) => !answered.has(id));
  if (open.length === 0) return;
  throw new RefusedError(
    400,
    `messages.${index}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${open.join(', ')}. ` +
      'Each `tool_use` block must have a corresponding `tool_result` block in the next message.',
  );
}

function checkToolResults(message: WireMessage, previous: WireMessage | undefined, index: number): void {
  const asked = new Set(idsOf(previous, 'tool_use', 'id'));
  const stray = idsOf(message, 'tool_result', 'tool_use_id').find((id) => !asked.has(id));
  if (stray === undefined) return;
  throw new RefusedError(
    400,
    `messages.${index}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${stray}`,
  );
}

function idsOf(message: WireMessage | undefined, type: string, key: string): string[] {
  return (message?.content ?? []).filter((block) => block.type === type).map((block) => String(block[key]));
}

function checkBreakpoints(body: Record<string, unknown>, messages: WireMessage[]): void {
  const blocks = [
    ...asList(body.tools),
    ...asList(body.system),
    ...messages.flatMap((message) => message.content),
  ];
  const marked = blocks.filter((block) => isRecord(block) && isRecord(block.cache_control)) as WireBlock[];
  if (marked.length > BREAKPOINTS_MAX) {
    throw new RefusedError(
      400,
      `A maximum of 4 blocks with cache_control may be provided. Found ${marked.length}.`,
    );
  }
  if (marked.some((block) => /thinking$/.test(block.type ?? ''))) {
    throw new RefusedError(400, 'cache_control: Extra inputs are not permitted on thinking blocks');
  }
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
