// Names of fields that the provider refuses, such as `$top` or `filter[id]`, and the ones that requests have instead.
import { isObject, type JsonObject } from '../json-schema/json.ts';
import { namesIn, schemasBelow } from './keywords.ts';

const WIRE_NAME = /^[a-zA-Z0-9_.-]{1,64}$/;
const WIRE_NAME_CHARS_MAX = 64;

/** From a name to its name on the wire, for those that differ. One name has the same at every place of a schema. */
export type Names = ReadonlyMap<string, string>;

/** All names, in their order, that schemas anywhere in this one speak of. */
function declaredNames(root: JsonObject): Set<string> {
  const names = new Set<string>();
  const seen = new Set<unknown>([root]);
  for (const schema of seen) {
    if (!isObject(schema)) continue;
    for (const name of namesIn(schema)) names.add(name);
    for (const each of schemasBelow(schema)) seen.add(each);
  }
  return names;
}

/** The name itself, or with a number if it is taken. */
export function unique(name: string, isTaken: (name: string) => boolean): string {
  if (!isTaken(name)) return name;
  for (let number = 2; ; number += 1) {
    const numbered = `${name.slice(0, WIRE_NAME_CHARS_MAX - 1 - String(number).length)}_${number}`;
    if (!isTaken(numbered)) return numbered;
  }
}

export function namesOf(root: JsonObject): Names {
  const declared = declaredNames(root);
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const name of declared) {
    if (WIRE_NAME.test(name)) continue;
    const allowed = name.replace(/[^a-zA-Z0-9_.-]/gu, '_').slice(0, WIRE_NAME_CHARS_MAX) || '_';
    const wire = unique(allowed, (each) => declared.has(each) || taken.has(each));
    taken.add(wire);
    names.set(name, wire);
  }
  return names;
}
