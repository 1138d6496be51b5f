// JSON whose numbers keep their digits. A double rounds 12345678901234567890 and writes 1.10 as 1.1, but numbers of clients
// and models must leave the server as they came. Everything that holds foreign values reads and writes it with this module.
// docs/decisions/0019-numbers-keep-their-digits.md has the reasons and the measurements.
import { compareNumber, splitNumber } from 'lossless-json';

/** Stands for an exact number in texts of native JSON. Short, and random, so that no client can write it. */
const MARK = btoa(String.fromCharCode(...globalThis.crypto.getRandomValues(new Uint8Array(9))));

/** Only `stringifyJson` replaces the marks. */
let isWriting = false;
let hasWrittenMarks = false;

/** A number that a double would write differently. It is immutable. */
export class ExactNumber {
  #parts: ReturnType<typeof splitNumber> | undefined;

  /** As JSON has it. */
  readonly value: string;

  constructor(value: string) {
    this.value = value;
  }

  toString(): string {
    return this.value;
  }

  /** Its significant digits, and the power of ten of the first one. */
  get parts() {
    this.#parts ??= splitNumber(this.value);
    return this.#parts;
  }

  /** For JSON.stringify, which has no way to write the digits themselves. */
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

/** An object or array. An exact number is neither, although JavaScript says so. */
export const isContainer = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !isExactNumber(value);

/**
 * Finds texts that may hold a number which a double would write differently: 16 or more digits, an exponent, a zero at the end
 * of a fraction, minus zero, a fraction that JavaScript writes with an exponent. Linear: a digit is never followed by a start.
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

/** Exact numbers as marked strings. Valid JSON only. */
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

/** By character code. The end of the text has the code NaN, which is in no table. */
const tableOf = (characters: string) =>
  Uint8Array.from({ length: 0x80 }, (_, code) => (characters.includes(String.fromCharCode(code)) ? 1 : 0));
const STARTS_NUMBER = tableOf('-0123456789');
const IN_NUMBER = tableOf('-+.eE0123456789');

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

/** Replaces each value. */
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

/** Writes what `parseJson` read, digit for digit. */
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

/** Whether a number is beyond what a double can hold, such as 1e999: few programs could read it back. */
export const isBeyondDouble = (value: JsonNumber): boolean => !Number.isFinite(toDouble(value));

export const toDouble = (value: JsonNumber): number =>
  typeof value === 'number' ? value : Number(value.value);

/** A double when it has the very value, such as 100 for `1e2`. */
export function simplest(value: JsonNumber): JsonNumber {
  if (typeof value === 'number') return value;
  const double = toDouble(value);
  return Number.isFinite(double) && compareNumbers(double, value) === 0 ? double : value;
}

/** One text for one value: `1e2`, `100` and `100.0` are the same number. */
export function numberText(value: JsonNumber): string {
  const simple = simplest(value);
  // JSON has one zero: String writes -0 as 0.
  if (typeof simple === 'number') return Number.isFinite(simple) ? String(simple) : 'null';
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
