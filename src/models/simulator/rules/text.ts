// Checks for text that JSON can carry but the API refuses.
import { isUtf8 } from 'node:buffer';
import { isRecord } from '../../tool-input.ts';
import { RefusedError, refuse } from '../refused.ts';

const NOT_JSON = 'The request body is not valid JSON';

/** Matches an escaped surrogate pair, half a pair, or any other escape. In JSON a backslash stands only in strings. */
const ESCAPES = /\\(?:u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(?<half>u[dD][89a-fA-F]\w\w)|.)/gs;

/**
 * Parses a body and checks its bytes.
 * @throws {RefusedError} if the bytes are not a JSON object in UTF-8, or any string or name holds half a surrogate pair.
 */
export function readJson(bytes: Buffer): Record<string, unknown> {
  if (!isUtf8(bytes)) throw new RefusedError(400, `${NOT_JSON}: invalid UTF-8`);
  const text = bytes.toString('utf8');
  const body = parse(text);
  if (!isRecord(body)) throw new RefusedError(400, NOT_JSON);
  checkText(body);
  // A later field of the same name hides a value from the parsed body.
  for (const { groups, index } of text.matchAll(ESCAPES))
    if (groups?.half !== undefined)
      throw new RefusedError(400, `${NOT_JSON}: lone surrogate in a string (char ${index})`);
  return body;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Reports the place of the half surrogate. The API calls such a body invalid JSON. */
function checkText(body: Record<string, unknown>): void {
  const open: [string, unknown][] = [['', body]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [place, value] = next;
    if (typeof value === 'string') requireWellFormed(place, value);
    if (typeof value !== 'object' || value === null) continue;
    for (const [key, item] of Object.entries(value)) {
      requireWellFormed(place, key);
      open.push([place === '' ? key : `${place}.${key}`, item]);
    }
  }
}

function requireWellFormed(place: string, text: string): void {
  if (!text.isWellFormed()) refuse(place.toWellFormed(), `${NOT_JSON}: lone surrogate in a string`);
}

/** Applies the lists of JavaScript, Unicode and Python, because the API's own list is unknown. */
export const isBlank = (text: string): boolean =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are white space in Python
  text.trim() === '' || /^[\p{White_Space}\u001c-\u001f]*$/u.test(text);
