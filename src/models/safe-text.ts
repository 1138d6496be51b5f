// Converts foreign text and JSON to a form that every store, every client and the API accept. PostgreSQL refuses NUL. JSON
// readers and the API refuse lone surrogates.

import { isBeyondDouble, isContainer, isNumber } from '../contracts/json.ts';

/** @returns the text without NUL, each lone surrogate replaced by U+FFFD. */
export function cleanText(text: string): string {
  return withoutNul(text).toWellFormed();
}

/**
 * True if a text shows nothing. Definitions of white space differ: JavaScript counts U+FEFF, Unicode U+0085, Python U+001C
 * to U+001F. The API refuses blank texts by its own list, so any of these lists makes a text blank here.
 */
export const isBlank = (text: string): boolean => BLANK.test(text);

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are white space in Python
const BLANK = /^[\s\p{White_Space}\u001c-\u001f\u180e\u200b\u2060]*$/u;

/** For names, ids and reasons: one line without control characters, of bounded length. */
export function cleanName(name: string, lengthMax: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it removes
  const line = name.slice(0, 4 * lengthMax).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '');
  return line
    .slice(0, lengthMax)
    .replace(/[\uD800-\uDBFF]$/, '')
    .toWellFormed();
}

/**
 * Cleans keys and texts, removes `__proto__` keys and replaces numbers beyond a double with null. A later copy would turn a
 * `__proto__` key into a prototype.
 * @param value shallow enough for recursion, see `isDeeperThan`.
 */
export function cleanJson(value: unknown): unknown {
  if (typeof value === 'string') return cleanText(value);
  if (isNumber(value)) return isBeyondDouble(value) ? null : value;
  if (Array.isArray(value)) return value.map(cleanJson);
  if (!isContainer(value)) return value;
  const entries = Object.entries(value).filter(([key]) => key !== '__proto__');
  // A key may become `__proto__` by losing its NUL.
  const cleaned = entries.map(([key, item]): [string, unknown] => [cleanText(key), cleanJson(item)]);
  return Object.fromEntries(cleaned.filter(([key]) => key !== '__proto__'));
}

/** Walks level by level, because recursion would overflow on deep values. */
export function isDeeperThan(root: unknown, depthMax: number): boolean {
  let level: unknown[] = [root];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > depthMax) return true;
    level = level.flatMap((item) => (isContainer(item) ? Object.values(item) : []));
  }
  return false;
}

/** Cleans a text that arrives in pieces. Two pieces may share a surrogate pair. */
export interface TextCleaner {
  /** @returns the text that is safe to show now, or '' if everything has to wait for the next piece. */
  push(piece: string): string;
  /** @returns the text still held back, mostly ''. */
  end(): string;
}

export function createTextCleaner(): TextCleaner {
  let held = '';
  return {
    push(piece) {
      const text = held + withoutNul(piece);
      const cut = isHighSurrogate(text.charCodeAt(text.length - 1)) ? text.length - 1 : text.length;
      held = text.slice(cut);
      return text.slice(0, cut).toWellFormed();
    },
    end() {
      const rest = held.toWellFormed();
      held = '';
      return rest;
    },
  };
}

function withoutNul(text: string): string {
  return text.replaceAll('\0', '');
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
