// A compiled schema: the checks for a value, and the data for filling in defaults.
import { isNumber, isWhole } from '../../contracts/json.ts';
import type { Pattern } from './patterns.ts';
import type { Run } from './run.ts';

export type Check = (value: unknown, run: Run) => void;

export interface SchemaNode {
  checks: Check[];
  /** The types allowed by `type`, here or in a referenced schema. Null allows any type. */
  types: ReadonlySet<string> | null;
  nullable: boolean;
  /** The schema's own default or a referenced schema's. `fits` is filled in on first use. */
  fallback: { value: unknown; fits?: boolean } | null;
  properties: Map<string, SchemaNode>;
  patternProperties: { pattern: Pattern; node: SchemaNode }[];
  additionalProperties: SchemaNode | null;
  prefixItems: SchemaNode[];
  items: SchemaNode | null;
  /** `$ref` and `allOf`, which hold for the same value. */
  always: SchemaNode[];
  /** `anyOf` and `oneOf`. */
  unions: SchemaNode[][];
  /** All schemas that see the same value as this one. A cycle among them would never end. */
  inPlace: SchemaNode[];
}

export const emptyNode = (): SchemaNode => ({
  checks: [],
  types: null,
  nullable: false,
  fallback: null,
  properties: new Map(),
  patternProperties: [],
  additionalProperties: null,
  prefixItems: [],
  items: null,
  always: [],
  unions: [],
  inPlace: [],
});

export function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return isNumber(value) ? 'number' : typeof value;
}

export function admits(types: ReadonlySet<string>, value: unknown): boolean {
  return types.has(typeOf(value)) || (types.has('integer') && isNumber(value) && isWhole(value));
}

/** The branches of a union that `type` leaves for a value. Mostly one, as in "an object or null". */
export const candidates = (union: SchemaNode[], value: unknown): SchemaNode[] =>
  union.filter(({ types, nullable }) => !types || admits(types, value) || (nullable && value === null));

/** The schemas of a property: by name, by pattern, or `additionalProperties`. */
export function propertySchemas(node: SchemaNode, key: string, run: Run): SchemaNode[] {
  const named = node.properties.get(key);
  const found = named ? [named] : [];
  for (const { pattern, node: schema } of node.patternProperties)
    if (pattern.matches(key, run)) found.push(schema);
  if (found.length === 0 && node.additionalProperties) found.push(node.additionalProperties);
  return found;
}

export const itemSchema = (node: SchemaNode, index: number): SchemaNode | null =>
  index < node.prefixItems.length ? (node.prefixItems[index] ?? null) : node.items;
