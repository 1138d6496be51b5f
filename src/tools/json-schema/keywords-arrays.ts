// Keywords for arrays.
import { isNumber, numberText } from '../../contracts/json.ts';
import { checkAt, faultsIn } from './check.ts';
import { isObject, weigh } from './json.ts';
import type { Place } from './place.ts';
import { deeper, isFull, type Run, report, spend } from './run.ts';
import { itemSchema } from './schema-node.ts';
import { counted } from './words.ts';

/** A list in `items` with `additionalItems` is draft 7. `prefixItems` with `items` is 2020-12. */
export function itemKeywords(place: Place): void {
  const { node } = place;
  const tuple = Array.isArray(place.value('items')) ? 'items' : 'prefixItems';
  const rest = tuple === 'items' ? 'additionalItems' : 'items';
  // An empty tuple has no effect, while an empty list of schemas is otherwise a fault.
  if (place.has(tuple) && !isEmpty(place.value(tuple))) node.prefixItems = place.subschemas(tuple);
  if (place.has(rest)) node.items = place.subschema(rest);
  if (!node.items && node.prefixItems.length === 0) return;
  place.add((input, run) => {
    if (!Array.isArray(input)) return;
    const end = node.items ? input.length : Math.min(input.length, node.prefixItems.length);
    for (let index = 0; index < end && !isFull(run); index += 1) {
      const schema = itemSchema(node, index);
      if (schema) checkAt(schema, index, input[index], run);
    }
  });
}

const isEmpty = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

export function arraySizeKeywords(place: Place): void {
  const least = place.count('minItems') ?? 0;
  const most = place.count('maxItems') ?? Number.POSITIVE_INFINITY;
  if (!place.has('minItems') && !place.has('maxItems')) return;
  place.add((input, run) => {
    if (!Array.isArray(input)) return;
    if (input.length < least) report(run, `must have at least ${counted(least, 'item')}`);
    if (input.length > most) report(run, `must have at most ${counted(most, 'item')}`);
  });
}

/** Without `contains`, `minContains` and `maxContains` have no effect. */
export function containsKeywords(place: Place): void {
  if (!place.has('contains')) return;
  const schema = place.subschema('contains');
  const least = place.count('minContains') ?? 1;
  const most = place.count('maxContains') ?? Number.POSITIVE_INFINITY;
  place.add((input, run) => {
    if (!Array.isArray(input)) return;
    let count = 0;
    let fault: string | undefined;
    for (const [index, item] of input.entries()) {
      run.path.push(index);
      const [found] = faultsIn(schema, item, run);
      run.path.pop();
      if (found === undefined) count += 1;
      else fault ??= found;
      if (count > most || (count >= least && most === Number.POSITIVE_INFINITY)) break;
    }
    const words = fault ? ` of the wanted kind (${fault})` : ' of the wanted kind';
    if (count < least) report(run, `must contain at least ${counted(least, 'item')}${words}`);
    if (count > most) report(run, `must contain at most ${counted(most, 'item')} of the wanted kind`);
  });
}

/** Each level of nesting joins the text of all levels below. */
const CHARACTERS_PER_STEP = 16;

/** The work of listing, sorting and joining an object's members. */
const OBJECT_STEPS = 8;

/** The same text for equal values, in any order of keys. */
function canonical(value: unknown, run: Run): string {
  const text = deeper(run, () => {
    if (Array.isArray(value)) return `[${value.map((item) => canonical(item, run)).join()}]`;
    weigh(value, run);
    if (isNumber(value)) return numberText(value);
    if (!isObject(value)) return JSON.stringify(value);
    const keys = Object.keys(value);
    // Sorting compares each key about log2(n) times.
    spend(run, OBJECT_STEPS + keys.length * Math.log2(keys.length + 1));
    const members = keys.sort().map((key) => `${canonical(key, run)}:${canonical(value[key], run)}`);
    return `{${members.join()}}`;
  });
  spend(run, 2 + text.length / CHARACTERS_PER_STEP);
  return text;
}

export function uniqueKeyword(place: Place): void {
  if (place.value('uniqueItems') !== true) return;
  place.add((input, run) => {
    if (!Array.isArray(input)) return;
    const seen = new Map<string, number>();
    for (const [index, item] of input.entries()) {
      const text = canonical(item, run);
      const first = seen.get(text);
      if (first !== undefined) {
        report(run, `must have no two equal items, but items ${first} and ${index} are equal`);
        return;
      }
      seen.set(text, index);
    }
  });
}
