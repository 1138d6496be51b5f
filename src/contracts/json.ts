// JSON whose numbers keep their digits. A double rounds 12345678901234567890 and writes 1.10 as 1.1, but numbers of clients
// and models must leave the server as they came. Everything that holds foreign values reads and writes it with this module.
// docs/decisions/0019-numbers-keep-their-digits.md has the reasons and the measurements.
import { compareNumber, LosslessNumber, splitNumber, stringify } from 'lossless-json';

/** Set while `stringifyJson` runs: native JSON has met a number that it would round. */
let metExactNumber = false;

/** A number that a double would write differently. It is immutable. */
export class ExactNumber extends LosslessNumber {
  #parts: ReturnType<typeof splitNumber> | undefined;

  /** Its significant digits, and the power of ten of the first one. */
  get parts() {
    this.#parts ??= splitNumber(this.value);
    return this.#parts;
  }

  /** For JSON.stringify, which has no way to write the digits themselves. */
  toJSON(): number {
    metExactNumber = true;
    return Number(this.value);
  }
}

export type JsonNumber = number | ExactNumber;

export const isExactNumber = (value: unknown): value is ExactNumber => value instanceof ExactNumber;

export const isNumber = (value: unknown): value is JsonNumber =>
  typeof value === 'number' || isExactNumber(value);

/** An object or array. An exact number is neither, although JavaScript says so. */
export const isContainer = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !isExactNumber(value);

/**
 * Finds texts that may hold a number which a double would write differently: 16 or more digits, an exponent, a zero at the end
 * of a fraction, minus zero, a fraction that JavaScript writes with an exponent. Linear: a digit is never followed by a start.
 */
const MAYBE_EXACT =
  /(?:^|[:[,\s])(?:-0(?=[\s,\]}]|$)|-?(?:[\d.]{16}|\d+(?:\.\d+)?[eE]|\d+\.\d*0(?=[\s,\]}]|$)|0\.000000))/;

/** Stands for an exact number while native JSON reads the text. Short, and random, so that no client can write it. */
const MARK = btoa(String.fromCharCode(...globalThis.crypto.getRandomValues(new Uint8Array(9))));

const QUOTE = 0x22;

/**
 * Reads JSON without rounding. Each number that a double would write differently becomes an `ExactNumber`.
 * @throws SyntaxError as JSON.parse
 */
export function parseJson<T = unknown>(text: string): T {
  const value = JSON.parse(text);
  if (!MAYBE_EXACT.test(text)) return value;
  const marked = withMarks(text);
  return marked === text ? value : (unmarked(JSON.parse(marked)) as T);
}

/** Exact numbers as marked strings. The library's own parser takes 0.4 s for 4 MiB of text, this and native JSON a tenth. */
function withMarks(text: string): string {
  let marked = '';
  let copied = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) index = endOfString(text, index);
    else if (isNumberStart(code)) {
      const start = index;
      while (isInNumber(text.charCodeAt(index + 1))) index += 1;
      const literal = text.slice(start, index + 1);
      if (String(Number(literal)) === literal) continue;
      marked += `${text.slice(copied, start)}"${MARK}${literal}"`;
      copied = index + 1;
    }
  }
  return copied === 0 ? text : marked + text.slice(copied);
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;
const isNumberStart = (code: number): boolean => isDigit(code) || code === 0x2d;
/** Digits, sign, point and exponent. The end of the text has the code NaN. */
const isInNumber = (code: number): boolean =>
  isDigit(code) || code === 0x2e || (code | 0x20) === 0x65 || code === 0x2b || code === 0x2d;

/** The index of the quote that ends the string which begins at `start`. The text is valid JSON. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let first = end;
    while (text[first - 1] === '\\') first -= 1;
    if ((end - first) % 2 === 0) return end;
  }
}

/** Without recursion, since nobody has looked yet how deep the value is. */
function unmarked(root: unknown): unknown {
  const holder = { root };
  const open: Record<string, unknown>[] = [holder];
  for (let container = open.pop(); container; container = open.pop())
    for (const key of Object.keys(container)) {
      const value = container[key];
      if (typeof value === 'string' && value.startsWith(MARK))
        container[key] = new ExactNumber(value.slice(MARK.length));
      else if (typeof value === 'object' && value !== null) open.push(value as Record<string, unknown>);
    }
  return holder.root;
}

/** Writes what `parseJson` read, digit for digit. Without exact numbers it costs what JSON.stringify costs. */
export function stringifyJson(value: unknown): string {
  metExactNumber = false;
  const text = JSON.stringify(value);
  return metExactNumber ? (stringify(value) as string) : text;
}

/** Whether a number is beyond what a double can hold, such as 1e999: few programs could read it back. */
export const isBeyondDouble = (value: JsonNumber): boolean => !Number.isFinite(Number(value.toString()));

export const toDouble = (value: JsonNumber): number => Number(value.toString());

/** A double when it has the very value, such as 100 for `1e2`. */
export function simplest(value: JsonNumber): JsonNumber {
  const double = toDouble(value);
  return Number.isFinite(double) && compareNumbers(double, value) === 0 ? double : value;
}

/** One text for one value: `1e2`, `100` and `100.0` are the same number. */
export function numberText(value: JsonNumber): string {
  const simple = simplest(value);
  // JSON has one zero: JSON.stringify writes -0 as 0.
  if (typeof simple === 'number') return JSON.stringify(simple);
  const { sign, digits, exponent } = simple.parts;
  return `${sign}${digits}e${exponent}`;
}

/** Below, at or above zero, as `left` is less than, equal to or more than `right`. */
export const compareNumbers = (left: JsonNumber, right: JsonNumber): number =>
  typeof left === 'number' && typeof right === 'number'
    ? left - right
    : compareNumber(left.toString(), right.toString());

export const isWhole = (value: JsonNumber): boolean =>
  typeof value === 'number' ? Number.isInteger(value) : value.parts.exponent >= value.parts.digits.length - 1;

/** BigInt takes the square of the digits, and shifting it takes those of the exponent. */
const DECIMAL_DIGITS_MAX = 400;

/** A finite number as `digits * 10 ** exponent`; null when that is too long to reckon with. */
function decimalOf(value: JsonNumber): { digits: bigint; exponent: number } | null {
  const { sign, digits, exponent } = isExactNumber(value) ? value.parts : splitNumber(String(value));
  if (digits.length > DECIMAL_DIGITS_MAX || Math.abs(exponent) > DECIMAL_DIGITS_MAX) return null;
  return { digits: BigInt(sign + digits), exponent: exponent - digits.length + 1 };
}

/** What is left of `value` after a whole number of `step`s is zero. Null when the numbers are too long for that. */
export function isExactMultiple(value: JsonNumber, step: JsonNumber): boolean | null {
  const [left, right] = [decimalOf(value), decimalOf(step)];
  if (!left || !right) return null;
  const exponent = Math.min(left.exponent, right.exponent);
  const scaled = (of: { digits: bigint; exponent: number }) =>
    of.digits * 10n ** BigInt(of.exponent - exponent);
  return scaled(left) % scaled(right) === 0n;
}

/** The same JSON with doubles in place of all exact numbers but those below the fields of these names. */
export function withDoubles<T>(value: T, exceptFields: readonly string[]): T {
  if (isExactNumber(value)) return toDouble(value) as T;
  if (Array.isArray(value)) return value.map((item) => withDoubles(item, exceptFields)) as T;
  if (!isContainer(value)) return value;
  const entries = Object.entries(value).map(([key, item]) =>
    exceptFields.includes(key) ? [key, item] : [key, withDoubles(item, exceptFields)],
  );
  return Object.fromEntries(entries);
}
