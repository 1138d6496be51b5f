// One text for one JSON value, whatever the order of its keys and the spelling of its numbers: for digests and comparisons.
import { isNumber, numberText } from './json.ts';

/** Bodies are at most 64 levels deep when they get here, so recursion is bounded. */
export function canonicalJson(value: unknown): string {
  if (isNumber(value)) return numberText(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = value as Record<string, unknown>;
  // Sorted without a function, which takes a third of the time.
  const names = Object.keys(fields).sort();
  const texts = names.flatMap((name) =>
    fields[name] === undefined ? [] : `${JSON.stringify(name)}:${canonicalJson(fields[name])}`,
  );
  return `{${texts.join(',')}}`;
}
