// Makes the root one object for the Messages API, which refuses `anyOf`, `oneOf`, `allOf` and `$ref` there.
import { isObject, type JsonObject } from '../json-schema/json.ts';
import { SchemaFault } from '../json-schema/place.ts';
import { dependentSchemas, listAt, mapAt, namesAt, type Schema, singleAt } from './keywords.ts';
import type { Resolve } from './rename.ts';

/** A schema's statements about the fields of one object, with all combined schemas merged in. */
export interface Merged {
  /** Schemas by field. All of them apply to the field. */
  fields: Map<string, Schema[]>;
  /** Fields of only some alternatives, with their schemas there. One of these applies. */
  optional: Map<string, Schema[]>;
  required: Set<string>;
  /** The required fields of each alternative, for the description. */
  alternatives: string[][];
  /** Whether other fields are refused. */
  isClosed: boolean;
}

/** A schema may refer to the same schema many times, so each is merged once. The result is bounded as well. */
const FIELDS_MAX = 20_000;

/** Nested references and combinations at the root. */
const DEPTH_MAX = 200;

const TOO_MUCH = 'combines more schemas at its root than the model can be shown: use fewer';

const admitsObjects = (schema: Schema): boolean => {
  if (!isObject(schema)) return schema;
  const { type } = schema;
  return type === undefined || type === 'object' || (Array.isArray(type) && type.includes('object'));
};

function addTo(map: Map<string, Schema[]>, name: string, schemas: readonly Schema[]): void {
  const known = map.get(name);
  if (!known) map.set(name, [...new Set(schemas)]);
  // The list belongs to the map. Copying it for each of thousands of alternatives would take seconds.
  else for (const each of schemas) if (!known.includes(each)) known.push(each);
}

const ALTERNATIVES_MAX = 8;

function addAlternatives(merged: Merged, more: string[][]): void {
  merged.alternatives = [...merged.alternatives, ...more].slice(0, ALTERNATIVES_MAX);
}

const requiredByAll = ([first, ...others]: Merged[]): string[] =>
  [...(first?.required ?? [])].filter((name) => others.every(({ required }) => required.has(name)));

const NOTHING: Merged = {
  fields: new Map(),
  optional: new Map(),
  required: new Set(),
  alternatives: [],
  isClosed: false,
};

const ownFields = (schema: JsonObject): Merged => ({
  fields: new Map(mapAt(schema, 'properties').map(([name, each]) => [name, [each]])),
  optional: new Map(),
  required: new Set(namesAt(schema, 'required')),
  alternatives: [],
  isClosed: schema.additionalProperties === false,
});

export function createMerger(resolve: Resolve) {
  const known = new Map<JsonObject, Merged>();
  let fieldsLeft = FIELDS_MAX;
  let depth = 0;

  function pay(merged: Merged): void {
    for (const schemas of [...merged.fields.values(), ...merged.optional.values()])
      fieldsLeft -= 1 + schemas.length;
    if (fieldsLeft < 0) throw new SchemaFault([], TOO_MUCH);
  }

  /** Adds a schema that applies in addition to the rest. */
  function takeIn(merged: Merged, other: Merged): void {
    pay(other);
    for (const [name, schemas] of other.fields) addTo(merged.fields, name, schemas);
    for (const [name, schemas] of other.optional) addTo(merged.optional, name, schemas);
    for (const name of other.required) merged.required.add(name);
    addAlternatives(merged, other.alternatives);
    merged.isClosed ||= other.isClosed;
  }

  function takeBranch(merged: Merged, branch: Merged): void {
    pay(branch);
    for (const [name, schemas] of branch.fields)
      addTo(merged.optional, name, schemas.length > 1 ? [{ allOf: schemas }] : schemas);
    for (const [name, schemas] of branch.optional) addTo(merged.optional, name, schemas);
  }

  /** Adds alternatives of which one applies. A field required by all of them is required. */
  function takeOneOf(merged: Merged, branches: Schema[], keyword: string): void {
    const possible = branches.filter(admitsObjects).map(merge);
    if (possible.length === 0)
      throw new SchemaFault([keyword], 'has no alternative that is an object, as the input of a tool is');
    for (const branch of possible) takeBranch(merged, branch);
    for (const name of requiredByAll(possible)) merged.required.add(name);
    merged.isClosed ||= possible.every(({ isClosed }) => isClosed);
    addAlternatives(
      merged,
      possible.slice(0, ALTERNATIVES_MAX).map(({ required }) => [...required]),
    );
  }

  function takeOptional(merged: Merged, schema: Schema | undefined): void {
    if (schema === undefined || !admitsObjects(schema)) return;
    const other = merge(schema);
    pay(other);
    for (const [name, schemas] of [...other.fields, ...other.optional]) addTo(merged.optional, name, schemas);
  }

  function merge(schema: Schema): Merged {
    if (!isObject(schema)) return NOTHING;
    const done = known.get(schema);
    if (done) return done;
    const merged = ownFields(schema);
    known.set(schema, merged);
    depth += 1;
    if (depth > DEPTH_MAX) throw new SchemaFault([], TOO_MUCH);
    combine(schema, merged);
    depth -= 1;
    return merged;
  }

  function combine(schema: JsonObject, merged: Merged): void {
    if (typeof schema.$ref === 'string') takeIn(merged, merge(resolve(schema.$ref) ?? true));
    for (const each of listAt(schema, 'allOf')) takeIn(merged, merge(each));
    for (const keyword of ['anyOf', 'oneOf']) {
      const branches = listAt(schema, keyword);
      if (branches.length > 0) takeOneOf(merged, branches, keyword);
    }
    takeOptional(merged, singleAt(schema, 'then'));
    takeOptional(merged, singleAt(schema, 'else'));
    for (const [, each] of dependentSchemas(schema)) takeOptional(merged, each);
  }

  return merge;
}

/** The schema of each field: all that always apply, or else one of the alternatives' schemas. */
export function fieldsOf({ fields, optional }: Merged): [name: string, schema: Schema][] {
  const names = new Set([...fields.keys(), ...optional.keys()]);
  return [...names].map((name): [string, Schema] => {
    const always = fields.get(name) ?? [];
    const either = optional.get(name) ?? [];
    // Some schemas declare a field as `{}` at the root and give its values in each alternative.
    const all = always.filter((each) => isObject(each) && Object.keys(each).length > 0);
    if (all.length === 0 && either.length > 0) return [name, oneOrUnion(either, 'anyOf')];
    return [name, oneOrUnion(all.length > 0 ? all : always, 'allOf')];
  });
}

function oneOrUnion(schemas: Schema[], keyword: 'allOf' | 'anyOf'): Schema {
  const [only, ...others] = schemas;
  return only !== undefined && others.length === 0 ? only : { [keyword]: schemas };
}
