// Checks a tool's JSON Schema like the API: an object at the root, draft 2020-12, plain property names.
import { isRecord } from '../../tool-input.ts';
import { refuse } from '../refused.ts';

const PROPERTY_NAME = /^[a-zA-Z0-9_.-]{1,64}$/;
const REFUSED_AT_ROOT = ['oneOf', 'allOf', 'anyOf'];
const TYPES = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer'];

type Check = (value: unknown) => boolean;

const isString: Check = (value) => typeof value === 'string';
const isNumber: Check = (value) => typeof value === 'number';
const isBoolean: Check = (value) => typeof value === 'boolean';
const isCount: Check = (value) => Number.isInteger(value) && (value as number) >= 0;
const isStrings: Check = (value) =>
  Array.isArray(value) && value.every(isString) && new Set(value).size === value.length;
const isType: Check = (value) =>
  Array.isArray(value)
    ? value.length > 0 && isStrings(value) && value.every((each) => TYPES.includes(each))
    : TYPES.includes(value as string);
const isSchema: Check = (value) => typeof value === 'boolean' || isRecord(value);
const isSchemas: Check = (value) => Array.isArray(value) && value.length > 0 && value.every(isSchema);
const isSchemaMap: Check = (value) => isRecord(value) && Object.values(value).every(isSchema);

/** True for a regular expression with the flag `u`, as JSON Schema requires. */
function isPattern(value: unknown): boolean {
  try {
    return typeof value === 'string' && new RegExp(value, 'u') instanceof RegExp;
  } catch {
    return false;
  }
}

/** The keywords of draft 2020-12. Others are annotations and may hold anything. */
const KEYWORDS: Record<string, Check> = {
  type: isType,
  enum: Array.isArray,
  required: isStrings,
  pattern: isPattern,
  ...table(isString, ['$ref', '$id', '$schema', '$anchor', '$dynamicRef', 'title', 'description', 'format']),
  ...table(isNumber, ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum']),
  multipleOf: (value) => typeof value === 'number' && value > 0,
  ...table(isCount, ['minLength', 'maxLength', 'minItems', 'maxItems', 'minContains', 'maxContains']),
  ...table(isCount, ['minProperties', 'maxProperties']),
  ...table(isBoolean, ['uniqueItems', 'deprecated', 'readOnly', 'writeOnly']),
  ...table(isSchema, [
    'items',
    'contains',
    'additionalProperties',
    'propertyNames',
    'not',
    'if',
    'then',
    'else',
  ]),
  ...table(isSchema, ['unevaluatedItems', 'unevaluatedProperties', 'contentSchema']),
  ...table(isSchemas, ['allOf', 'anyOf', 'oneOf', 'prefixItems']),
  ...table(isSchemaMap, ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas']),
};

function table(check: Check, names: string[]): Record<string, Check> {
  return Object.fromEntries(names.map((name) => [name, check]));
}

/** @throws {RefusedError} */
export function checkInputSchema(schema: unknown, place: string): void {
  if (!isRecord(schema)) refuse(place, 'Field required');
  if (schema.type === undefined) refuse(`${place}.type`, 'Field required');
  if (schema.type !== 'object') refuse(`${place}.type`, "Input should be 'object'");
  if (REFUSED_AT_ROOT.some((keyword) => keyword in schema))
    refuse(place, 'input_schema does not support oneOf, allOf, or anyOf at the top level');
  const open: unknown[] = [schema];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (!isRecord(next)) continue;
    checkKeywords(next, place);
    open.push(...subschemas(next));
  }
}

function checkKeywords(schema: Record<string, unknown>, place: string): void {
  for (const [keyword, value] of Object.entries(schema))
    if (KEYWORDS[keyword]?.(value) === false)
      refuse(
        place,
        `JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12). The value of '${keyword}' does not.`,
      );
  const names = isRecord(schema.properties) ? Object.keys(schema.properties) : [];
  if (!names.every((name) => PROPERTY_NAME.test(name)))
    refuse(`${place}.properties`, "Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'");
}

function subschemas(schema: Record<string, unknown>): unknown[] {
  return Object.entries(schema).flatMap(([keyword, value]) => {
    const check = KEYWORDS[keyword];
    if (check === isSchema) return [value];
    if (check === isSchemas) return value as unknown[];
    return check === isSchemaMap ? Object.values(value as object) : [];
  });
}
