// Checks the outside of a schema: JSON, an object, bounded in size and depth.
import { isBeyondDouble, isContainer, isExactNumber, isNumber, stringifyJson } from '../../contracts/json.ts';
import { isObject } from './json.ts';
import { SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, VALUES_PER_WORK } from './limits.ts';
import { SchemaFault } from './place.ts';

const TOO_DEEP = `must be nested at most ${SCHEMA_DEPTH_MAX} levels deep`;
const TOO_LARGE = `must be at most ${SCHEMA_BYTES_MAX} bytes as JSON`;

export interface Measured {
  schema: Record<string, unknown>;
  /** The schema as JSON, the key in the caches. */
  text: string;
  /** The number of values. An exact number counts as `VALUES_PER_WORK`. */
  values: number;
}

export function textOf(schema: unknown): Measured {
  if (!isObject(schema))
    throw new SchemaFault([], "must be a JSON Schema object, such as {'type': 'object'}");
  const { type } = schema;
  // Some generators write `["object", "null"]` for an optional object.
  const admitsObjects = type === 'object' || (Array.isArray(type) && type.includes('object'));
  if (Object.hasOwn(schema, 'type') && !admitsObjects)
    throw new SchemaFault(['type'], "must be 'object': the input of a tool is an object");
  const values = measure(schema);
  const text = stringifyJson(schema);
  if (Buffer.byteLength(text) > SCHEMA_BYTES_MAX) throw new SchemaFault([], TOO_LARGE);
  return { schema, text, values };
}

/** Ends soon for any value, even a cycle, because each value takes at least a byte. */
function measure(schema: unknown): number {
  let values = 0;
  let exact = 0;
  const walk = (value: unknown, depth: number): void => {
    values += 1;
    if (isExactNumber(value)) exact += 1;
    if (values > SCHEMA_BYTES_MAX) throw new SchemaFault([], TOO_LARGE);
    if (depth > SCHEMA_DEPTH_MAX) throw new SchemaFault([], TOO_DEEP);
    if (isContainer(value)) for (const item of Object.values(value)) walk(item, depth + 1);
    else if (!isJsonScalar(value)) throw new SchemaFault([], 'must be JSON');
  };
  walk(schema, 0);
  return values + exact * (VALUES_PER_WORK - 1);
}

const isJsonScalar = (value: unknown): boolean =>
  value === null ||
  ['string', 'boolean'].includes(typeof value) ||
  (isNumber(value) && !isBeyondDouble(value));
