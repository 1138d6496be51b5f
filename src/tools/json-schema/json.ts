// JSON values whose keys are an attacker's: kinds, own keys, copies, equality.
import { type Run, spend } from './run.ts';

export type JsonObject = Record<string, unknown>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const own = (object: JsonObject, key: string): unknown =>
  Object.hasOwn(object, key) ? object[key] : undefined;

/** `__proto__` becomes a property like any other; an assignment would change the prototype. */
export function put(object: JsonObject, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}

/** Counting keys takes a list of them. */
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

/** Recursion ends with `expected`, which comes from a schema and is therefore shallow. */
export function isEqual(expected: unknown, value: unknown, run: Run): boolean {
  spend(run, 1);
  if (Array.isArray(expected))
    return (
      Array.isArray(value) &&
      value.length === expected.length &&
      expected.every((item, index) => isEqual(item, value[index], run))
    );
  if (!isObject(expected)) return expected === value;
  if (!isObject(value)) return false;
  const keys = Object.keys(expected);
  const found = keys.every((key) => Object.hasOwn(value, key) && isEqual(expected[key], value[key], run));
  return found && keys.length === sizeOf(value, run);
}
