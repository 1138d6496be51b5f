// Field names the provider refuses, such as `$top` or `filter[id]`, and their replacements in requests.
import { isObject, type JsonObject } from '../json-schema/json.ts';
import { isLeaf, namesIn, schemasBelow } from './keywords.ts';
import type { Resolve } from './rename.ts';

const WIRE_NAME = /^[a-zA-Z0-9_.-]{1,64}$/;
const WIRE_NAME_CHARS_MAX = 64;

/** Leaves room for `_` and the number of any name in a schema of 64 KiB. */
const STEM_CHARS_MAX = WIRE_NAME_CHARS_MAX - '_65536'.length;

/** Maps each changed name to its name on the wire. A name is the same at every place of a schema. */
export type Names = ReadonlyMap<string, string>;

/** All field names anywhere in the schema, in order. References also reach into `components` and similar places. */
function declaredNames(root: JsonObject, resolve: Resolve): Set<string> {
  const names = new Set<string>();
  const seen = new Set<unknown>([root]);
  for (const schema of seen) {
    if (!isObject(schema) || isLeaf(schema)) continue;
    for (const name of namesIn(schema)) names.add(name);
    for (const each of schemasBelow(schema)) seen.add(each);
    if (typeof schema.$ref === 'string') seen.add(resolve(schema.$ref));
  }
  return names;
}

/** Returns each name once: unchanged, or with a number if taken. Numbers continue, so many names take linear time. */
export function createUniqueNames(reserved: ReadonlySet<string>): (name: string) => string {
  const taken = new Set(reserved);
  const numbers = new Map<string, number>();

  return function unique(name) {
    let free = name;
    const stem = name.slice(0, STEM_CHARS_MAX);
    while (taken.has(free)) {
      const number = (numbers.get(stem) ?? 1) + 1;
      numbers.set(stem, number);
      free = `${stem}_${number}`;
    }
    taken.add(free);
    return free;
  };
}

export function namesOf(root: JsonObject, resolve: Resolve): Names {
  const declared = declaredNames(root, resolve);
  const names = new Map<string, string>();
  const unique = createUniqueNames(declared);
  for (const name of declared) {
    if (WIRE_NAME.test(name)) continue;
    const allowed = name.replace(/[^a-zA-Z0-9_.-]/gu, '_').slice(0, WIRE_NAME_CHARS_MAX) || '_';
    names.set(name, unique(allowed));
  }
  return names;
}
