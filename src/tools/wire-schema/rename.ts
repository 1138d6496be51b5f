// Renames the fields of a value where its schema declares them. Free-form objects keep their keys.
import { isObject, type JsonObject, own, put } from '../json-schema/json.ts';
import { type Run, spend } from '../json-schema/run.ts';
import {
  dependentSchemas,
  isSchema,
  itemsAt,
  listAt,
  mapAt,
  namesIn,
  type Schema,
  singleAt,
} from './keywords.ts';

/** Finds the schema a `$ref` names. */
export type Resolve = (reference: string) => Schema | undefined;

/** A place in a value, with all schemas that may apply there. */
interface Place {
  schemas: JsonObject[];
  declared: Set<string>;
}

export interface Renaming {
  /** The new name of each changed name, in the given direction. */
  names: ReadonlyMap<string, string>;
  resolve: Resolve;
  direction: 'to wire' | 'from wire';
}

/** Schemas for the same value as this one. */
function besides(schema: JsonObject, resolve: Resolve): (Schema | undefined)[] {
  return [
    typeof schema.$ref === 'string' ? resolve(schema.$ref) : undefined,
    ...['allOf', 'anyOf', 'oneOf'].flatMap((keyword) => listAt(schema, keyword)),
    ...['if', 'then', 'else'].map((keyword) => singleAt(schema, keyword)),
    ...dependentSchemas(schema).map(([, each]) => each),
  ];
}

function placeOf(schemas: (Schema | undefined)[], resolve: Resolve, run: Run): Place {
  const all = new Set<JsonObject>(schemas.filter(isObject));
  for (const schema of all) {
    spend(run, 1 + Object.keys(schema).length);
    for (const each of besides(schema, resolve)) if (isObject(each)) all.add(each);
  }
  const found = [...all];
  const declared = new Set(found.flatMap(namesIn));
  spend(run, declared.size);
  return { schemas: found, declared };
}

/** Patterns are not matched. Each pattern may apply to a name outside `properties`. */
function fieldSchemas({ schemas }: Place, name: string): (Schema | undefined)[] {
  return schemas.flatMap((schema) => {
    const properties = schema.properties;
    const declared = isObject(properties) ? own(properties, name) : undefined;
    if (isSchema(declared)) return [declared];
    const patterns = mapAt(schema, 'patternProperties').map(([, each]) => each);
    return [...patterns, singleAt(schema, 'additionalProperties')];
  });
}

const itemSchemas = ({ schemas }: Place, index: number): (Schema | undefined)[] =>
  schemas.flatMap((schema) => {
    const { first, rest } = itemsAt(schema);
    return [index < first.length ? first[index] : rest, singleAt(schema, 'contains')];
  });

/**
 * @returns the value with its declared fields renamed. The value itself is not changed.
 * @throws {TooComplexError} when schema and value together need too much work.
 */
export function renamed(
  value: unknown,
  schemas: (Schema | undefined)[],
  renaming: Renaming,
  run: Run,
): unknown {
  const { names, resolve, direction } = renaming;

  const nameAt = (key: string, { declared }: Place): string => {
    if (direction === 'to wire') return declared.has(key) ? (names.get(key) ?? key) : key;
    const name = names.get(key);
    return name !== undefined && declared.has(name) ? name : key;
  };

  function walk(each: unknown, at: (Schema | undefined)[]): unknown {
    spend(run, 1);
    if (!isObject(each) && !Array.isArray(each)) return each;
    const place = placeOf(at, resolve, run);
    // No schema declares anything below.
    if (place.schemas.length === 0) return each;
    if (Array.isArray(each)) return each.map((item, index) => walk(item, itemSchemas(place, index)));
    const copy: JsonObject = {};
    for (const key of Object.keys(each)) {
      const name = nameAt(key, place);
      spend(run, place.schemas.length);
      put(copy, name, walk(each[key], fieldSchemas(place, direction === 'to wire' ? key : name)));
    }
    return copy;
  }

  return walk(value, schemas);
}
