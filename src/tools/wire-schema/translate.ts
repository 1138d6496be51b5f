// Translates a schema below the root for the Messages API: draft 2020-12, without unknown keywords.
import { isNumber, stringifyJson } from '../../contracts/json.ts';
import { isRegExp, readPattern } from '../json-schema/dialects.ts';
import { isObject, type JsonObject, own, put } from '../json-schema/json.ts';
import {
  dependentNames,
  dependentSchemas,
  isLeaf,
  itemsAt,
  listAt,
  mapAt,
  namesAt,
  type Schema,
  singleAt,
} from './keywords.ts';
import type { Names } from './names.ts';

export interface Translation {
  names: Names;
  /** The new value of a `$ref`. */
  reference(reference: string): string;
  /** A value inside a schema, with the names of the wire. */
  value(value: unknown, schema: JsonObject): unknown;
  /** @throws {SchemaFault} when the output is too large. */
  spend(characters: number): void;
}

const isText = (value: unknown): boolean => typeof value === 'string';
const isFlag = (value: unknown): boolean => typeof value === 'boolean';

/** Keywords that pass unchanged if their value has the kind that draft 2020-12 requires. Other values are left out. */
const PLAIN: Record<string, (value: unknown) => boolean> = {
  title: isText,
  description: isText,
  format: isText,
  contentEncoding: isText,
  contentMediaType: isText,
  deprecated: isFlag,
  readOnly: isFlag,
  writeOnly: isFlag,
  uniqueItems: isFlag,
  ...Object.fromEntries(
    [
      'multipleOf',
      'minimum',
      'maximum',
      'exclusiveMinimum',
      'exclusiveMaximum',
      'minLength',
      'maxLength',
      'minItems',
      'maxItems',
      'minContains',
      'maxContains',
      'minProperties',
      'maxProperties',
    ].map((keyword) => [keyword, isNumber]),
  ),
};

const distinct = <T>(values: T[]): T[] => [...new Set(values)];

const objectOf = (entries: [string, unknown][]): JsonObject => {
  const object: JsonObject = {};
  for (const [name, value] of entries) put(object, name, value);
  return object;
};

/** Sets a keyword, unless its value is undefined or has no effect. */
function set(out: JsonObject, keyword: string, value: unknown, isSaid = true): void {
  if (isSaid && value !== undefined) out[keyword] = value;
}

/** The pattern in JavaScript's syntax. A pattern without such a form is not shown to the model. */
function patternOf(source: string): string | undefined {
  const { javaScript, hasFlags, isForeign } = readPattern(source);
  return hasFlags || isForeign ? undefined : javaScript;
}

/** `exclusiveMinimum: true` beside `minimum` is draft 4 and OpenAPI 3.0. */
function plainKeywords(schema: JsonObject): JsonObject {
  const out: JsonObject = {};
  for (const keyword of Object.keys(schema)) {
    const value = schema[keyword];
    if (Object.hasOwn(PLAIN, keyword) && PLAIN[keyword]?.(value)) out[keyword] = value;
  }
  if (typeof schema.pattern === 'string') set(out, 'pattern', patternOf(schema.pattern));
  for (const [bound, exclusive] of [
    ['minimum', 'exclusiveMinimum'],
    ['maximum', 'exclusiveMaximum'],
  ] as const) {
    if (schema[exclusive] !== true || out[bound] === undefined) continue;
    out[exclusive] = out[bound];
    delete out[bound];
  }
  return out;
}

function valueKeywords(schema: JsonObject, { value }: Translation, out: JsonObject): void {
  const { type } = schema;
  set(out, 'type', Array.isArray(type) ? distinct(type) : type);
  if (Object.hasOwn(schema, 'const')) out.const = value(schema.const, schema);
  if (Array.isArray(schema.enum)) out.enum = schema.enum.map((each) => value(each, schema));
  if (Object.hasOwn(schema, 'default')) out.default = value(schema.default, schema);
  const examples = Array.isArray(schema.examples) ? schema.examples : [];
  if (Object.hasOwn(schema, 'example')) examples.unshift(schema.example);
  set(
    out,
    'examples',
    examples.map((each) => value(each, schema)),
    examples.length > 0,
  );
}

function objectKeywords(schema: JsonObject, translation: Translation, out: JsonObject): void {
  const { names } = translation;
  const wire = (name: string): string => names.get(name) ?? name;
  const below = ([name, each]: [string, Schema]): [string, unknown] => [name, translate(each, translation)];
  const properties = mapAt(schema, 'properties').map(below);
  set(
    out,
    'properties',
    objectOf(properties.map(([name, each]) => [wire(name), each])),
    'properties' in schema,
  );
  set(out, 'required', distinct(namesAt(schema, 'required').map(wire)), Array.isArray(schema.required));
  const needed = dependentNames(schema).map(([name, others]): [string, string[]] => [
    wire(name),
    distinct(others.map(wire)),
  ]);
  set(out, 'dependentRequired', objectOf(needed), needed.length > 0);
  const dependent = dependentSchemas(schema).map(below);
  set(
    out,
    'dependentSchemas',
    objectOf(dependent.map(([name, each]) => [wire(name), each])),
    dependent.length > 0,
  );
  const patterns = mapAt(schema, 'patternProperties')
    .filter(([source]) => isRegExp(source))
    .map(below);
  set(out, 'patternProperties', objectOf(patterns), patterns.length > 0);
  // Without one of the patterns, `additionalProperties` would refuse names the pattern allows.
  if (mapAt(schema, 'patternProperties').length === patterns.length)
    set(out, 'additionalProperties', translated(schema, 'additionalProperties', translation));
  // `propertyNames` would refuse the names of the wire.
  if (!properties.some(([name]) => names.has(name)))
    set(out, 'propertyNames', translated(schema, 'propertyNames', translation));
}

const translated = (schema: JsonObject, keyword: string, translation: Translation): unknown => {
  const each = singleAt(schema, keyword);
  return each === undefined ? undefined : translate(each, translation);
};

function arrayKeywords(schema: JsonObject, translation: Translation, out: JsonObject): void {
  const { first, rest } = itemsAt(schema);
  set(
    out,
    'prefixItems',
    first.map((each) => translate(each, translation)),
    first.length > 0,
  );
  if (rest !== undefined) out.items = translate(rest, translation);
  set(out, 'contains', translated(schema, 'contains', translation));
}

function combiningKeywords(schema: JsonObject, translation: Translation, out: JsonObject): void {
  if (typeof schema.$ref === 'string') out.$ref = translation.reference(schema.$ref);
  for (const keyword of ['allOf', 'anyOf', 'oneOf']) {
    const list = listAt(schema, keyword);
    set(
      out,
      keyword,
      list.map((each) => translate(each, translation)),
      list.length > 0,
    );
  }
  for (const keyword of ['not', 'if', 'then', 'else'])
    set(out, keyword, translated(schema, keyword, translation));
}

const NULL = { type: 'null' };

/** OpenAPI 3.0 allows null with `nullable`. The checker accepts null regardless of other keywords. */
function nullable(out: JsonObject): JsonObject {
  const { title, description, default: fallback, examples, ...rest } = out;
  const annotations: JsonObject = {};
  for (const [keyword, value] of Object.entries({ title, description, default: fallback, examples }))
    set(annotations, keyword, value);
  const isPlain = typeof rest.type === 'string' && !('const' in rest || 'not' in rest || 'if' in rest);
  if (!isPlain || ['$ref', 'allOf', 'anyOf', 'oneOf'].some((keyword) => keyword in rest))
    return { ...annotations, anyOf: [rest, NULL] };
  const values = Array.isArray(rest.enum) ? { enum: distinct([...rest.enum, null]) } : {};
  return { ...annotations, ...rest, type: distinct([rest.type, 'null']), ...values };
}

/** @param schema accepted by `compileSchema` without a fault. */
export function translate(schema: Schema, translation: Translation): Schema {
  if (!isObject(schema)) return schema;
  const out = plainKeywords(schema);
  valueKeywords(schema, translation, out);
  translation.spend(stringifyJson(out).length);
  if (!isLeaf(schema)) {
    objectKeywords(schema, translation, out);
    arrayKeywords(schema, translation, out);
    combiningKeywords(schema, translation, out);
  }
  return own(schema, 'nullable') === true ? nullable(out) : out;
}
