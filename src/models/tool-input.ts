// What a model wrote as a tool's input: JSON from a machine that may stop in the middle of it.

import { isBeyondDouble, isContainer, isNumber, parseJson, stringifyJson } from '../contracts/json.ts';
import { INVALID_INPUT_CHARS_MAX } from './reply-limits.ts';
import { cleanJson, cleanText, isDeeperThan } from './safe-text.ts';

/** The API takes JSON of at most this depth, and JSON.stringify overflows its stack on far deeper values. */
const TOOL_INPUT_DEPTH_MAX = 64;

/** `raw` is the beginning of an input that can't be read. */
export type ToolInput = { ok: true; value: Record<string, unknown> } | { ok: false; raw: string };

/**
 * Reads an input in every form that providers send: as pieces of JSON, or whole with the start of its block, there as an
 * object or as JSON in a string. No input is an empty one: a tool without parameters.
 * @param started the `input` of `content_block_start`
 * @param json the joined `input_json_delta` pieces; unless they are blank they go before `started`
 * @returns `ok: false` for anything but a JSON object of bearable depth, whose numbers a double can hold.
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

/** @returns undefined for a text that is no JSON; a blank one holds nothing. */
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
