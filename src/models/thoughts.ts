// Thinking blocks in a request, and the other blocks that only their provider can judge.
import { createHash } from 'node:crypto';
import type { ModelBlock, ModelMessage, ModelRequest } from './port.ts';

export const isThinking = ({ type }: ModelBlock): boolean =>
  type === 'thinking' || type === 'redacted_thinking';

const isFilled = (value: unknown): boolean => typeof value === 'string' && value !== '';

/** True if a provider may accept the thinking block. Without a signature no provider does. */
export const isSignedThinking = ({ type, thinking, signature, data }: ModelBlock): boolean =>
  type === 'thinking' ? typeof thinking === 'string' && isFilled(signature) : isFilled(data);

/** Blocks that every provider can judge. */
const COMMON_TYPES = new Set(['text', 'image', 'document', 'search_result', 'tool_use', 'tool_result']);

/** Thinking, and calls and results of tools that the provider ran. Other providers refuse these blocks. */
const isPrivate = ({ type }: ModelBlock): boolean => !COMMON_TYPES.has(type);

/** A block's key in the memory of refused blocks. Hashed, because signatures may be long. */
const keyOf = ({ signature, data, id, tool_use_id }: ModelBlock): string =>
  createHash('sha256')
    .update(String(signature ?? data ?? id ?? tool_use_id))
    .digest('base64');

/** Returns the same object if nothing is left out, because the adapter keeps the JSON with the object. */
function filtered(message: ModelMessage, isKept: (block: ModelBlock) => boolean): ModelMessage {
  const content = message.content.filter(isKept);
  return content.length === message.content.length ? message : { ...message, content };
}

/** The last message a user wrote. Later messages belong to its turn. */
const lastQuestion = (messages: ModelMessage[]): number =>
  messages.findLastIndex(
    ({ role, content }) =>
      role === 'user' && (content.length === 0 || content.some(({ type }) => type !== 'tool_result')),
  );

/**
 * With `thinking` enabled, the API requires a continued turn to begin with a thinking block. If that block isn't sent, the rest
 * of the turn runs without thinking.
 */
function withFittingSettings(request: ModelRequest): ModelRequest {
  if (request.thinking?.type !== 'enabled') return request;
  const [first] = request.messages.slice(lastQuestion(request.messages) + 1);
  const begins = first?.content[0];
  return begins === undefined || isThinking(begins) ? request : { ...request, thinking: null };
}

export const hasPrivateBlocks = ({ messages }: ModelRequest): boolean =>
  messages.some(({ content }) => content.some(isPrivate));

export type RefusedThoughts = ReturnType<typeof createRefusedThoughts>;

/** A dropped entry only costs another refused request, which is free. */
const REFUSED_MAX = 10_000;

/** Remembers the thinking blocks a provider refused, so that later steps of the turn leave them out immediately. */
export function createRefusedThoughts() {
  const refused = new Set<string>();

  function add(block: ModelBlock): void {
    const [oldest] = refused;
    if (refused.size >= REFUSED_MAX && oldest !== undefined) refused.delete(oldest);
    refused.add(keyOf(block));
  }

  const keep = (request: ModelRequest, isKept: (block: ModelBlock) => boolean): ModelRequest =>
    withFittingSettings({
      ...request,
      messages: request.messages.map((message) => filtered(message, isKept)),
    });

  return {
    /** The request without blocks refused earlier. */
    withoutKnown: (request: ModelRequest): ModelRequest =>
      keep(request, (block) => !isPrivate(block) || !refused.has(keyOf(block))),
    /** The request without any private block. */
    withoutAll: (request: ModelRequest): ModelRequest => keep(request, (block) => !isPrivate(block)),
    /** Call after a provider refused the request and accepted it without these blocks. */
    remember({ messages }: ModelRequest): void {
      for (const block of messages.flatMap(({ content }) => content)) if (isPrivate(block)) add(block);
    },
  };
}
