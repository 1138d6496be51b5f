// A content block of a provider, cleaned once and whole: after this no store, no client and not the API refuses it.

import type { ModelBlock } from './port.ts';
import { NAME_CHARS_MAX } from './reply-limits.ts';
import { cleanJson, cleanName, cleanText } from './safe-text.ts';
import { readToolInput } from './tool-input.ts';

/** What a stream has brought of one block. */
export interface RawBlock {
  /** As `content_block_start` had it, with a clean type. */
  started: { type: string } & Record<string, unknown>;
  /** Of a text block, cleaned piece by piece as it was streamed. */
  text: string;
  thinking: string;
  signature: string;
  /** The joined `input_json_delta` pieces. */
  json: string;
  citations: unknown[];
}

/** Stands for a name that is missing or blank. No tool can have this name, so the call is answered with an error. */
export const UNNAMED = '(unnamed)';

const nameOf = (value: unknown): string =>
  typeof value === 'string' ? cleanName(value, NAME_CHARS_MAX) : '';

/**
 * Blocks that clients see or the API gets back have only the fields we know. Others are stored whole.
 * @returns undefined for a block that is of no use to anybody.
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

/** A signature is good for the very text that was signed. Without one, thoughts are shown and never sent back. */
function cleanThinking({ started, thinking, ...raw }: RawBlock): ModelBlock | undefined {
  const clean = cleanText(thinking);
  // Some gateways send it whole with the block's start and again in its deltas.
  const isTwice = raw.signature === `${started.signature}${started.signature}`;
  const signature = isTwice ? String(started.signature) : raw.signature;
  const isSigned = signature !== '' && clean === thinking && cleanText(signature) === signature;
  if (clean === '' && !isSigned) return undefined;
  return { type: 'thinking', thinking: clean, ...(isSigned && { signature }) };
}

/** It is for the API alone, which refuses it when it was changed. */
function cleanRedacted(data: unknown): ModelBlock | undefined {
  if (typeof data !== 'string' || data === '' || cleanText(data) !== data) return undefined;
  return { type: 'redacted_thinking', data };
}

/** A broken input is no reason to lose the reply: the call is answered with an error, see `activities/tool-offer.ts`. */
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
