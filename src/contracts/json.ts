// JSON whose numbers keep their digits. A double rounds 12345678901234567890 and writes 1.10 as 1.1, but numbers of clients and
// models must leave the server unchanged. All code with such values reads and writes JSON through this module.
// docs/decisions/0019-numbers-keep-their-digits.md has the reasons and the measurements.
import { compareNumber, splitNumber } from 'lossless-json';

/** Marks an exact number in native JSON text. The mark is short, and random so that no client can write it. */
const MARK = btoa(String.fromCharCode(...globalThis.crypto.getRandomValues(new Uint8Array(9))));

/** `toJSON` writes marks only inside `stringifyJson`, which replaces them. */
let isWriting = false;
let hasWrittenMarks = false;

/** An immutable number that a double would write differently. */
export class ExactNumber {
  #parts: ReturnType<typeof splitNumber> | undefined;

  /** The number as spelled in JSON. */
  readonly value: string;

  constructor(value: string) {
    this.value = value;
  }

  toString(): string {
    return this.value;
  }

  /** The significant digits, and the power of ten of the first digit. */
  get parts() {
    this.#parts ??= splitNumber(this.value);
    return this.#parts;
  }

  /** For JSON.stringify, which can't write the digits themselves. */
  toJSON(): number | string {
    if (!isWriting) return Number(this.value);
    hasWrittenMarks = true;
    return MARK + this.value;
  }
}

export type JsonNumber = number | ExactNumber;

export const isExactNumber = (value: unknown): value is ExactNumber => value instanceof ExactNumber;

export const isNumber = (value: unknown): value is JsonNumber =>
  typeof value === 'number' || isExactNumber(value);

/** An object or array. An exact number is neither, despite its `typeof`. */
export const isContainer = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !isExactNumber(value);

/**
 * Finds texts with a number that a double might write differently. Such a number has 16 or more digits, an exponent, a zero at
 * the end of a fraction, minus zero, or a fraction that JavaScript writes with an exponent. Takes linear time, because no match
 * starts after a digit.
 */
const MAYBE_EXACT =
  /(?:^|[:[,\s])(?:-0(?=[\s,\]}]|$)|-?(?:[\d.]{16}|\d+(?:\.\d+)?[eE]|\d+\.\d*0(?=[\s,\]}]|$)|0\.000000))/;

const QUOTE = 0x22;

export class TooManyExactNumbersError extends Error {}

/**
 * Reads JSON without rounding. Each number that a double would write differently becomes an `ExactNumber`.
 * @param exactNumbersMax Each costs up to 2 µs, forty times a double.
 * @throws SyntaxError as JSON.parse
 * @throws TooManyExactNumbersError
 */
export function parseJson<T = unknown>(text: string, exactNumbersMax = Number.POSITIVE_INFINITY): T {
  const value = JSON.parse(text);
  if (!MAYBE_EXACT.test(text)) return value;
  const marked = withMarks(text, exactNumbersMax);
  return marked === text ? value : (unmarked(JSON.parse(marked)) as T);
}

/** Replaces exact numbers with marked strings. The text must be valid JSON. */
function withMarks(text: string, exactNumbersMax: number): string {
  const pieces: string[] = [];
  let copied = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) index = endOfString(text, index);
    else if (STARTS_NUMBER[code] === 1) {
      const start = index;
      while (IN_NUMBER[text.charCodeAt(index + 1)] === 1) index += 1;
      const literal = text.slice(start, index + 1);
      if (String(Number(literal)) === literal) continue;
      if (pieces.length >= 2 * exactNumbersMax) throw new TooManyExactNumbersError();
      pieces.push(text.slice(copied, start), `"${MARK}${literal}"`);
      copied = index + 1;
    }
  }
  return copied === 0 ? text : pieces.join('') + text.slice(copied);
}

/** Lookup table by character code. The end of the text has the code NaN, which is in no table. */
const tableOf = (characters: string) =>
  Uint8Array.from({ length: 0x80 }, (_, code) => (characters.includes(String.fromCharCode(code)) ? 1 : 0));
const STARTS_NUMBER = tableOf('-0123456789');
const IN_NUMBER = tableOf('-+.eE0123456789');

/** The index of the quote that closes the string opened at `start`. The text must be valid JSON. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let first = end;
    while (text[first - 1] === '\\') first -= 1;
    if ((end - first) % 2 === 0) return end;
  }
}

/** Iterates instead of recursing, because the value's depth hasn't been checked yet. */
function unmarked(root: unknown): unknown {
  const holder = { root };
  const open: object[] = [holder];
  const read = (value: unknown): unknown => {
    if (typeof value === 'string')
      return value.startsWith(MARK) ? new ExactNumber(value.slice(MARK.length)) : value;
    if (typeof value === 'object' && value !== null) open.push(value);
    return value;
  };
  for (let container = open.pop(); container; container = open.pop()) readEach(container, read);
  return holder.root;
}

/** Replaces each value in place. */
function readEach(container: object, read: (value: unknown) => unknown): void {
  if (Array.isArray(container)) {
    for (let index = 0; index < container.length; index += 1) container[index] = read(container[index]);
    return;
  }
  const fields = container as Record<string, unknown>;
  for (const key of Object.keys(fields)) {
    const value = fields[key];
    const next = read(value);
    if (next !== value) fields[key] = next;
  }
}

const MARKED = new RegExp(`"${MARK.replaceAll('+', '\\+')}([^"]*)"`, 'g');

/** Writes the result of `parseJson`, digit for digit. */
export function stringifyJson(value: unknown): string {
  isWriting = true;
  hasWrittenMarks = false;
  try {
    const text = JSON.stringify(value);
    return hasWrittenMarks ? text.replace(MARKED, '$1') : text;
  } finally {
    isWriting = false;
  }
}

/** True for numbers beyond a double's range, such as 1e999. Few programs could read them back. */
export const isBeyondDouble = (value: JsonNumber): boolean => !Number.isFinite(toDouble(value));

export const toDouble = (value: JsonNumber): number =>
  typeof value === 'number' ? value : Number(value.value);

/** The double with exactly the same value if there is one, such as 100 for `1e2`. */
export function simplest(value: JsonNumber): JsonNumber {
  if (typeof value === 'number') return value;
  const double = toDouble(value);
  return Number.isFinite(double) && compareNumbers(double, value) === 0 ? double : value;
}

/** Equal numbers give equal text: `1e2`, `100` and `100.0` are the same number. */
export function numberText(value: JsonNumber): string {
  const simple = simplest(value);
  // JSON has one zero: String writes -0 as 0.
  if (typeof simple === 'number') return Number.isFinite(simple) ? String(simple) : 'null';
  const { sign, digits, exponent } = simple.parts;
  return `${sign}${digits}e${exponent}`;
}

/** Negative, zero or positive as `left` is less than, equal to or more than `right`. */
export const compareNumbers = (left: JsonNumber, right: JsonNumber): number =>
  typeof left === 'number' && typeof right === 'number'
    ? left - right
    : compareNumber(left.toString(), right.toString());

export const isWhole = (value: JsonNumber): boolean =>
  typeof value === 'number' ? Number.isInteger(value) : value.parts.exponent >= value.parts.digits.length - 1;

/** BigInt takes time quadratic in the digits, and in the exponent when shifting. */
const DECIMAL_DIGITS_MAX = 400;

/** A finite number as `digits * 10 ** exponent`. Null if the number is too long to calculate with. */
function decimalOf(value: JsonNumber): { digits: bigint; exponent: number } | null {
  const { sign, digits, exponent } = isExactNumber(value) ? value.parts : splitNumber(String(value));
  if (digits.length > DECIMAL_DIGITS_MAX || Math.abs(exponent) > DECIMAL_DIGITS_MAX) return null;
  return { digits: BigInt(sign + digits), exponent: exponent - digits.length + 1 };
}

/** True if dividing `value` by `step` leaves no remainder. Null if the numbers are too long to calculate with. */
export function isExactMultiple(value: JsonNumber, step: JsonNumber): boolean | null {
  const [left, right] = [decimalOf(value), decimalOf(step)];
  if (!left || !right) return null;
  const exponent = Math.min(left.exponent, right.exponent);
  const scaled = (of: { digits: bigint; exponent: number }) =>
    of.digits * 10n ** BigInt(of.exponent - exponent);
  return scaled(left) % scaled(right) === 0n;
}

/** The same JSON with doubles instead of exact numbers, except below fields with these names. */
export function withDoubles<T>(value: T, exceptFields: readonly string[]): T {
  if (isExactNumber(value)) return toDouble(value) as T;
  if (Array.isArray(value)) return value.map((item) => withDoubles(item, exceptFields)) as T;
  if (!isContainer(value)) return value;
  const entries = Object.entries(value).map(([key, item]) =>
    exceptFields.includes(key) ? [key, item] : [key, withDoubles(item, exceptFields)],
  );
  return Object.fromEntries(entries);
}
