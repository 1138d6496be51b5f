// Parses the tool input a model wrote. The JSON may stop in the middle.

import { isBeyondDouble, isContainer, isNumber, parseJson, stringifyJson } from '../contracts/json.ts';
import { INVALID_INPUT_CHARS_MAX } from './reply-limits.ts';
import { cleanJson, cleanText, isDeeperThan } from './safe-text.ts';

/** The API takes JSON of at most this depth. JSON.stringify overflows its stack only on far deeper values. */
const TOOL_INPUT_DEPTH_MAX = 64;

/** `raw` is the beginning of an unreadable input. */
export type ToolInput = { ok: true; value: Record<string, unknown> } | { ok: false; raw: string };

/**
 * Reads an input in every form providers send: as pieces of JSON, or whole at the start of its block. A whole input is an
 * object or JSON in a string. A missing input counts as empty: a tool without parameters.
 * @param started the `input` of `content_block_start`
 * @param json the joined `input_json_delta` pieces. Unless blank, they take precedence over `started`
 * @returns `ok: false` for anything but a JSON object of limited depth whose numbers fit a double.
 */
export function readToolInput(started: unknown, json: string): ToolInput {
  const sent = json.trim() === '' ? { value: started } : parse(json);
  const read = typeof sent?.value === 'string' ? parse(sent.value) : sent;
  if (read && (read.value === undefined || read.value === null)) return { ok: true, value: {} };
  if (read && isRecord(read.value) && isBearable(read.value)) {
    return { ok: true, value: cleanJson(read.value) as Record<string, unknown> };
  }
  const raw = json.trim() === '' ? textOf(started) : json;
  return { ok: false, raw: cleanText(raw.slice(0, INVALID_INPUT_CHARS_MAX)) };
}

/** @returns undefined for invalid JSON. A blank text counts as null. */
function parse(json: string): { value: unknown } | undefined {
  if (json.trim() === '') return { value: null };
  try {
    return { value: parseJson(json) };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const textOf = (started: unknown): string =>
  typeof started === 'string' ? started : (stringifyJson(started) ?? '');

export function isRecord(value: unknown): value is Record<string, unknown> {
  return isContainer(value) && !Array.isArray(value);
}

const isBearable = (value: unknown): boolean =>
  !isDeeperThan(value, TOOL_INPUT_DEPTH_MAX) && !hasNumberBeyondDouble(value);

const hasNumberBeyondDouble = (value: unknown): boolean =>
  isNumber(value)
    ? isBeyondDouble(value)
    : isContainer(value) && Object.values(value).some(hasNumberBeyondDouble);
