// Cleans a whole content block of a provider once. Afterwards every store, every client and the API accept the block.

import type { ModelBlock } from './port.ts';
import { NAME_CHARS_MAX } from './reply-limits.ts';
import { cleanJson, cleanName, cleanText } from './safe-text.ts';
import { readToolInput } from './tool-input.ts';

/** The parts of one block received so far. */
export interface RawBlock {
  /** The block of `content_block_start`, with a clean type. */
  started: { type: string } & Record<string, unknown>;
  /** For a text block, cleaned piece by piece as streamed. */
  text: string;
  thinking: string;
  signature: string;
  /** The joined `input_json_delta` pieces. */
  json: string;
  citations: unknown[];
}

/** Replaces a missing or blank name. No tool can have this name, so the call gets an error as its result. */
export const UNNAMED = '(unnamed)';

const nameOf = (value: unknown): string =>
  typeof value === 'string' ? cleanName(value, NAME_CHARS_MAX) : '';

/**
 * Keeps only the known fields of blocks that clients see or the API gets back. Other blocks are stored whole.
 * @returns undefined for a useless block.
 */
export function cleanBlock(raw: RawBlock): ModelBlock | undefined {
  switch (raw.started.type) {
    case 'text':
      return cleanTextBlock(raw);
    case 'thinking':
      return cleanThinking(raw);
    case 'redacted_thinking':
      return cleanRedacted(raw.started.data);
    case 'tool_use':
      return cleanCall(raw);
    default:
      return cleanUnknown(raw);
  }
}

/** The API refuses empty text blocks when they are sent back to it. */
function cleanTextBlock({ text, citations }: RawBlock): ModelBlock | undefined {
  if (text === '') return undefined;
  return {
    type: 'text',
    text,
    ...(citations.length > 0 && { citations: citations.map(cleanJson) }),
  };
}

/** A signature is valid only for the exact signed text. Without a signature, thinking is shown but never sent back. */
function cleanThinking({ started, thinking, ...raw }: RawBlock): ModelBlock | undefined {
  const clean = cleanText(thinking);
  // Some gateways send the whole signature at the block's start and again in its deltas.
  const isTwice = raw.signature === `${started.signature}${started.signature}`;
  const signature = isTwice ? String(started.signature) : raw.signature;
  const isSigned = signature !== '' && clean === thinking && cleanText(signature) === signature;
  if (clean === '' && !isSigned) return undefined;
  return { type: 'thinking', thinking: clean, ...(isSigned && { signature }) };
}

/** Only the API reads this block, and the API refuses changed data. */
function cleanRedacted(data: unknown): ModelBlock | undefined {
  if (typeof data !== 'string' || data === '' || cleanText(data) !== data) return undefined;
  return { type: 'redacted_thinking', data };
}

/** A broken input must not lose the reply. The call gets an error as its result, see `activities/tool-offer.ts`. */
function cleanCall({ started, json }: RawBlock): ModelBlock {
  const name = nameOf(started.name);
  const input = readToolInput(started.input, json);
  return {
    type: 'tool_use',
    id: nameOf(started.id),
    name: name.trim() === '' ? UNNAMED : name,
    ...(input.ok ? { input: input.value } : { input: {}, invalid_input_json: input.raw }),
  };
}

function cleanUnknown({ started, json }: RawBlock): ModelBlock {
  const block = cleanJson(started) as ModelBlock;
  if (json !== '' || block.type.endsWith('tool_use')) {
    const input = readToolInput(started.input, json);
    block.input = input.ok ? input.value : {};
    if (!input.ok) block.invalid_input_json = input.raw;
  }
  return block;
}
