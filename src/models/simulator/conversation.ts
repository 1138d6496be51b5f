// Reads a request into a checked conversation, or refuses it like the real API.

import { isRecord } from '../tool-input.ts';
import { RefusedError, refuse } from './refused.ts';
import { checkBreakpoints } from './rules/breakpoints.ts';
import { checkMessages } from './rules/messages.ts';
import { checkSettings } from './rules/settings.ts';
import { checkToolCalls } from './rules/tool-calls.ts';
import { checkTools } from './rules/tools.ts';
import type { WireBlock, WireMessage } from './wire-message.ts';

export interface Conversation {
  model: string;
  maxTokens: number;
  isStream: boolean;
  hasSystem: boolean;
  /** As the request defines them. */
  tools: Record<string, unknown>[];
  messages: WireMessage[];
}

/** @throws {RefusedError} if the real API would refuse the request. */
export function readConversation(body: Record<string, unknown>, apiVersion: string): Conversation {
  const messages = toMessages(body.messages);
  checkSettings(body, apiVersion);
  checkTools(body.tools);
  checkMessages(messages);
  checkToolCalls(messages);
  checkBreakpoints(body, messages);
  return {
    model: String(body.model),
    maxTokens: Number(body.max_tokens),
    isStream: body.stream === true,
    hasSystem: body.system !== undefined,
    tools: Array.isArray(body.tools) ? body.tools.filter(isRecord) : [],
    messages,
  };
}

/** @throws {RefusedError} if the value is not a list of messages with readable content. */
export function toMessages(value: unknown): WireMessage[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new RefusedError(400, 'messages: at least one message is required');
  return value.map((message, index) => {
    const unknown = Object.keys(message ?? {}).find((key) => key !== 'role' && key !== 'content');
    if (unknown !== undefined) refuse(`messages.${index}.${unknown}`, 'Extra inputs are not permitted');
    const role = isRecord(message) ? message.role : undefined;
    if (role !== 'user' && role !== 'assistant')
      throw new RefusedError(400, `messages.${index}.role: Input should be 'user' or 'assistant'`);
    return { role, content: toBlocks((message as Record<string, unknown>).content, index) };
  });
}

/** The visible text of one message: all its text blocks. */
export function textOf(message: WireMessage): string {
  return message.content
    .filter((block) => block.type === 'text')
    .map((block) => String(block.text))
    .join('\n');
}

/** The last text of a user, '' when none. Tool results don't count. */
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
  if (!Array.isArray(content)) throw new RefusedError(400, `messages.${index}.content: Field required`);
  return content.map((block, at) => {
    if (isRecord(block) && typeof block.type === 'string') return block as WireBlock;
    throw new RefusedError(400, `messages.${index}.content.${at}.type: Field required`);
  });
}
