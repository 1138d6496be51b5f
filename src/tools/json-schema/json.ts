// JSON values whose keys an attacker may choose: kinds, own keys, copies, equality.
import {
  compareNumbers,
  isContainer,
  isExactNumber,
  isNumber,
  type JsonNumber,
} from '../../contracts/json.ts';
import { type Run, spend } from './run.ts';

export type JsonObject = Record<string, unknown>;

export const isObject = (value: unknown): value is JsonObject => isContainer(value) && !Array.isArray(value);

export const own = (object: JsonObject, key: string): unknown =>
  Object.hasOwn(object, key) ? object[key] : undefined;

/** Makes `__proto__` an ordinary property. An assignment would change the prototype. */
export function put(object: JsonObject, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}

/** Counting keys builds a list of them, so the work is charged. */
export function sizeOf(object: JsonObject, run: Run): number {
  const size = Object.keys(object).length;
  spend(run, size);
  return size;
}

export function copyOf(value: unknown, run: Run): unknown {
  spend(run, 1);
  if (Array.isArray(value)) return value.map((item) => copyOf(item, run));
  if (!isObject(value)) return value;
  const copy: JsonObject = {};
  for (const key of Object.keys(value)) put(copy, key, copyOf(value[key], run));
  return copy;
}

/** An exact number may be as long as a whole input. */
const DIGITS_PER_STEP = 16;

export function weigh(value: unknown, run: Run): void {
  if (isExactNumber(value)) spend(run, value.value.length / DIGITS_PER_STEP);
}

/** Negative, zero or positive, as `left` is less than, equal to or more than `right`. */
export function compared(left: JsonNumber, right: JsonNumber, run: Run): number {
  weigh(left, run);
  weigh(right, run);
  return compareNumbers(left, right);
}

/** The recursion is bounded by `expected`, which comes from a schema and is therefore shallow. */
export function isEqual(expected: unknown, value: unknown, run: Run): boolean {
  spend(run, 1);
  if (Array.isArray(expected))
    return (
      Array.isArray(value) &&
      value.length === expected.length &&
      expected.every((item, index) => isEqual(item, value[index], run))
    );
  if (isNumber(expected)) return isNumber(value) && compared(expected, value, run) === 0;
  if (!isObject(expected)) return expected === value;
  if (!isObject(value)) return false;
  const keys = Object.keys(expected);
  const found = keys.every((key) => Object.hasOwn(value, key) && isEqual(expected[key], value[key], run));
  return found && keys.length === sizeOf(value, run);
}
