// Text that JSON can carry and the API does not take.
import { refuse } from '../refused.ts';

/** @throws {RefusedError} for half of a surrogate pair in any string or name. The API calls that invalid JSON. */
export function checkText(body: Record<string, unknown>): void {
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
  if (!text.isWellFormed())
    refuse(place.toWellFormed(), 'The request body is not valid JSON: lone surrogate in a string');
}
