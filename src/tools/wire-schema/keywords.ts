// The places where a schema holds other schemas, in draft 4 to 2020-12 and OpenAPI 3.0.
import { isObject, type JsonObject, own } from '../json-schema/json.ts';

export type Schema = JsonObject | boolean;

export const isSchema = (value: unknown): value is Schema => isObject(value) || typeof value === 'boolean';

/** Keywords whose value is a schema. */
const SINGLES = [
  'additionalItems',
  'additionalProperties',
  'contains',
  'else',
  'if',
  'items',
  'not',
  'propertyNames',
  'then',
];

/** Keywords whose value maps names to schemas. */
const MAPS = ['$defs', 'definitions', 'dependencies', 'dependentSchemas', 'patternProperties', 'properties'];

/** A list of schemas, or [] if the keyword is missing or has another value. */
export function listAt(schema: JsonObject, keyword: string): Schema[] {
  const value = own(schema, keyword);
  return Array.isArray(value) ? value.filter((each): each is Schema => isSchema(each)) : [];
}

export function singleAt(schema: JsonObject, keyword: string): Schema | undefined {
  const value = own(schema, keyword);
  return isSchema(value) ? value : undefined;
}

/** Names and schemas of a keyword such as `properties`. */
export function mapAt(schema: JsonObject, keyword: string): [name: string, schema: Schema][] {
  const value = own(schema, keyword);
  if (!isObject(value)) return [];
  return Object.keys(value).flatMap((name): [string, Schema][] => {
    const each = value[name];
    return isSchema(each) ? [[name, each]] : [];
  });
}

/** Draft 7 has dependencies of both kinds in one keyword. */
export const dependentSchemas = (schema: JsonObject): [name: string, schema: Schema][] => [
  ...mapAt(schema, 'dependentSchemas'),
  ...mapAt(schema, 'dependencies'),
];

export function namesAt(schema: JsonObject, keyword: string): string[] {
  const value = own(schema, keyword);
  return Array.isArray(value) ? value.filter((name): name is string => typeof name === 'string') : [];
}

/** The names each name requires. */
export function dependentNames(schema: JsonObject): [name: string, needed: string[]][] {
  return ['dependentRequired', 'dependencies'].flatMap((keyword) => {
    const value = own(schema, keyword);
    if (!isObject(value)) return [];
    const names = Object.keys(value).filter((name) => Array.isArray(value[name]));
    return names.map((name): [string, string[]] => [name, namesAt(value, name)]);
  });
}

/** The names of fields in the schema's own keywords. */
export const namesIn = (schema: JsonObject): string[] => [
  ...mapAt(schema, 'properties').map(([name]) => name),
  ...namesAt(schema, 'required'),
  ...dependentNames(schema).flatMap(([name, needed]) => [name, ...needed]),
  ...dependentSchemas(schema).map(([name]) => name),
];

/** The items by position, and the schema of the rest. Draft 7 has a list in `items` and the rest in `additionalItems`. */
export function itemsAt(schema: JsonObject): { first: Schema[]; rest: Schema | undefined } {
  const isTuple = Array.isArray(own(schema, 'items'));
  return isTuple
    ? { first: listAt(schema, 'items'), rest: singleAt(schema, 'additionalItems') }
    : { first: listAt(schema, 'prefixItems'), rest: singleAt(schema, 'items') };
}

const LISTS = ['allOf', 'anyOf', 'oneOf', 'prefixItems'];

const REFERRING = new Set([...LISTS, ...SINGLES, ...MAPS, '$ref', 'required', 'dependentRequired']);

/** Most schemas contain no other schema and no names. Callers skip nine tenths of the work for them. */
export const isLeaf = (schema: JsonObject): boolean =>
  !Object.keys(schema).some((keyword) => REFERRING.has(keyword));

/** All schemas directly below. */
export const schemasBelow = (schema: JsonObject): unknown[] => [
  ...LISTS.flatMap((keyword) => listAt(schema, keyword)),
  ...listAt(schema, 'items'),
  ...SINGLES.flatMap((keyword) => singleAt(schema, keyword) ?? []),
  ...MAPS.flatMap((keyword) => mapAt(schema, keyword).map(([, each]) => each)),
];
