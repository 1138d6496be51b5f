// What a model wrote as a tool's input: JSON from a machine that may stop in the middle of it.

import { isBeyondDouble, isContainer, isNumber, parseJson } from '../contracts/json.ts';
import { cleanText } from './safe-text.ts';

/** The API takes JSON of at most this depth, and JSON.stringify overflows its stack on far deeper values. */
const TOOL_INPUT_DEPTH_MAX = 64;

type ToolInput = { ok: true; value: Record<string, unknown> } | { ok: false };

/**
 * Parses the joined `input_json_delta` pieces. No text at all is an empty input: a tool without parameters.
 * @returns `ok: false` for anything but a JSON object of bearable depth, whose numbers a double can hold.
 */
export function parseToolInput(json: string): ToolInput {
  if (json.trim() === '') return { ok: true, value: {} };
  try {
    const value = parseJson(json);
    return isRecord(value) ? cleanToolInput(value) : { ok: false };
  } catch (error) {
    if (error instanceof SyntaxError) return { ok: false };
    throw error;
  }
}

/** Strips `__proto__` keys, which a later copy would turn into a prototype, and text that stores refuse. */
export function cleanToolInput(value: Record<string, unknown>): ToolInput {
  if (isDeeperThan(value, TOOL_INPUT_DEPTH_MAX) || hasNumberBeyondDouble(value)) return { ok: false };
  return { ok: true, value: cleanValue(value) as Record<string, unknown> };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return isContainer(value) && !Array.isArray(value);
}

function cleanValue(value: unknown): unknown {
  if (typeof value === 'string') return cleanText(value);
  if (Array.isArray(value)) return value.map(cleanValue);
  if (!isRecord(value)) return value;
  const entries = Object.entries(value).filter(([key]) => key !== '__proto__');
  return Object.fromEntries(entries.map(([key, item]) => [cleanText(key), cleanValue(item)]));
}

const hasNumberBeyondDouble = (value: unknown): boolean =>
  isNumber(value)
    ? isBeyondDouble(value)
    : isContainer(value) && Object.values(value).some(hasNumberBeyondDouble);

/** Walks level by level: recursion would overflow on the very values this looks for. */
export function isDeeperThan(root: unknown, depthMax: number): boolean {
  let level: unknown[] = [root];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > depthMax) return true;
    level = level.flatMap((item) => (isContainer(item) ? Object.values(item) : []));
  }
  return false;
}
