// One text for one JSON value, whatever the order of its keys and the spelling of its numbers: for digests and comparisons.
import { isNumber, numberText } from './json.ts';

/** Bodies are at most 64 levels deep when they get here, so recursion is bounded. */
export function canonicalJson(value: unknown): string {
  if (isNumber(value)) return numberText(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field)}`);
  return `{${fields.join(',')}}`;
}
