// Thoughts of a model in a request, and the other blocks that only their provider can judge.
import { createHash } from 'node:crypto';
import type { ModelBlock, ModelMessage, ModelRequest } from './port.ts';

export const isThinking = ({ type }: ModelBlock): boolean =>
  type === 'thinking' || type === 'redacted_thinking';

const isFilled = (value: unknown): boolean => typeof value === 'string' && value !== '';

/** Whether a provider may take the thought back: without its signature it never does. */
export const isSignedThinking = ({ type, thinking, signature, data }: ModelBlock): boolean =>
  type === 'thinking' ? typeof thinking === 'string' && isFilled(signature) : isFilled(data);

/** Blocks that every provider can judge. */
const COMMON_TYPES = new Set(['text', 'image', 'document', 'search_result', 'tool_use', 'tool_result']);

/** Thoughts, and calls and results of tools that the provider ran: refused when it does not know them as its own. */
const isPrivate = ({ type }: ModelBlock): boolean => !COMMON_TYPES.has(type);

/** What names a block in the memory of refused ones: short, because signatures may be long. */
const keyOf = ({ signature, data, id, tool_use_id }: ModelBlock): string =>
  createHash('sha256')
    .update(String(signature ?? data ?? id ?? tool_use_id))
    .digest('base64');

/** The message itself when nothing is left out: the adapter remembers its text with the object. */
function filtered(message: ModelMessage, isKept: (block: ModelBlock) => boolean): ModelMessage {
  const content = message.content.filter(isKept);
  return content.length === message.content.length ? message : { ...message, content };
}

/** The last message that a user wrote; what follows belongs to the turn that answers it. */
const lastQuestion = (messages: ModelMessage[]): number =>
  messages.findLastIndex(
    ({ role, content }) =>
      role === 'user' && (content.length === 0 || content.some(({ type }) => type !== 'tool_result')),
  );

/**
 * With `thinking` enabled, the API asks a turn that goes on to begin with a thought. When that thought is not sent, the rest
 * of the turn does without thinking.
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

/** A forgotten one costs a request that is refused for free. */
const REFUSED_MAX = 10_000;

/** Remembers which thoughts a provider refused, so that later steps of the turn leave them out at once. */
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
    /** The request without what was refused before. */
    withoutKnown: (request: ModelRequest): ModelRequest =>
      keep(request, (block) => !isPrivate(block) || !refused.has(keyOf(block))),
    /** The request without any such block. */
    withoutAll: (request: ModelRequest): ModelRequest => keep(request, (block) => !isPrivate(block)),
    /** A request that holds these was refused, and taken without them. */
    remember({ messages }: ModelRequest): void {
      for (const block of messages.flatMap(({ content }) => content)) if (isPrivate(block)) add(block);
    },
  };
}
