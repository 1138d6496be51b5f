// Counts tokens as the API bills them: uncached, written to the prompt cache, read from the cache.

import { createHash } from 'node:crypto';
import { isRecord } from '../tool-input.ts';

export interface InputTokens {
  input_tokens: number;
  cache_creation_input_tokens: number;
  cache_read_input_tokens: number;
}

export interface PromptCache {
  /** Counts a request's prompt and remembers the prefixes at its breakpoints. */
  count(body: Record<string, unknown>): InputTokens;
}

/** The approximate ratio for English text and JSON. */
const CHARS_PER_TOKEN = 4;
/** The shortest prompt the API caches on its newest models. */
const CACHEABLE_TOKENS_MIN = 512;
/** The API searches this many blocks back from a breakpoint for a cached prefix. */
const LOOKBACK_BLOCKS = 20;
/** Enough for every conversation of a test or a demo. The oldest are dropped. */
const PREFIXES_MAX = 20_000;

interface Prefix {
  key: string;
  tokens: number;
  isMarked: boolean;
}

export function createPromptCache(): PromptCache {
  const known = new Set<string>();
  return {
    count(body) {
      const prefixes = prefixesOf(body);
      const total = prefixes.at(-1)?.tokens ?? 0;
      const marked = prefixes.flatMap((prefix, at) =>
        prefix.isMarked && prefix.tokens >= CACHEABLE_TOKENS_MIN ? [at] : [],
      );
      const last = marked.at(-1);
      if (last === undefined) return tokens(total, 0, 0);
      const read = longestKnown(prefixes, marked, known);
      const written = (prefixes[last]?.tokens ?? 0) - read;
      for (const at of marked) remember(known, prefixes[at]?.key ?? '');
      return tokens(total - read - written, written, read);
    },
  };
}

/** @returns the token count of a prompt without any cache. */
export function countTokens(body: Record<string, unknown>): number {
  return prefixesOf(body).at(-1)?.tokens ?? 0;
}

function tokens(input: number, written: number, read: number): InputTokens {
  return { input_tokens: input, cache_creation_input_tokens: written, cache_read_input_tokens: read };
}

function longestKnown(prefixes: Prefix[], marked: number[], known: Set<string>): number {
  const reachable = prefixes.filter((prefix, at) => {
    return known.has(prefix.key) && marked.some((mark) => at <= mark && at >= mark - LOOKBACK_BLOCKS);
  });
  return reachable.at(-1)?.tokens ?? 0;
}

function remember(known: Set<string>, key: string): void {
  known.delete(key);
  known.add(key);
  if (known.size <= PREFIXES_MAX) return;
  for (const oldest of known) {
    known.delete(oldest);
    return;
  }
}

/** One prefix per block, in the API's order: tools, system prompt, messages. */
function prefixesOf(body: Record<string, unknown>): Prefix[] {
  const hash = createHash('sha1').update(String(body.model));
  let chars = 0;
  return blocksOf(body).map((block) => {
    const { cache_control: mark, ...rest } = block;
    const text = JSON.stringify(rest);
    chars += text.length;
    const key = hash.update(text).copy().digest('base64');
    return { key, tokens: Math.ceil(chars / CHARS_PER_TOKEN), isMarked: isRecord(mark) };
  });
}

function blocksOf(body: Record<string, unknown>): Record<string, unknown>[] {
  const messages = toList(body.messages).flatMap((message) =>
    toList(message.content).map((block) => ({ role: message.role, ...block })),
  );
  return [...toList(body.tools), ...toList(body.system), ...messages];
}

function toList(value: unknown): Record<string, unknown>[] {
  if (typeof value === 'string') return [{ type: 'text', text: value }];
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
