// One schema during compilation: reads its keywords strictly, and reports errors as faults with a path.
import { isNumber, type JsonNumber, toDouble } from '../../contracts/json.ts';
import { isObject, type JsonObject, own } from './json.ts';
import { type Pattern, PatternError } from './patterns.ts';
import type { Check, SchemaNode } from './schema-node.ts';

export type Path = (string | number)[];

/** The fault of an unusable schema, with its path. */
export class SchemaFault extends Error {
  readonly path: Path;

  constructor(path: Path, message: string) {
    super(message);
    this.path = path;
  }
}

/** The parts of the compiler a place needs. */
export interface Linker {
  /** The node of a schema. A new node is compiled later, so neither depth nor reference cycles nest calls. */
  link(schema: unknown, path: Path): SchemaNode;
  /** The node a `$ref` names. */
  resolve(reference: string, path: Path): SchemaNode;
  pattern(source: string, path: Path): Pattern;
}

export interface Place {
  readonly node: SchemaNode;
  has(keyword: string): boolean;
  /** The value at `keys`. Callers have checked that all but the last key exist. */
  value(...keys: Path): unknown;
  fault(message: string, ...below: Path): never;
  add(check: Check): void;
  number(keyword: string): JsonNumber | undefined;
  /** A length or a count. */
  count(keyword: string): number | undefined;
  /** A list of property names. */
  strings(...keys: Path): string[];
  pattern(source: unknown, ...keys: Path): Pattern;
  subschema(...keys: Path): SchemaNode;
  subschemas(keyword: string): SchemaNode[];
  /** The keys of a keyword such as `properties`, whose value maps names to schemas. */
  names(keyword: string): string[];
  referred(keyword: string): SchemaNode;
}

export function createPlace(linker: Linker, schema: JsonObject, node: SchemaNode, path: Path): Place {
  const at = (...below: Path): Path => [...path, ...below];

  const value = (...keys: Path): unknown =>
    keys.reduce<unknown>(
      (found, key) => (isObject(found) ? own(found, String(key)) : (found as unknown[])[Number(key)]),
      schema,
    );

  function fault(message: string, ...below: Path): never {
    throw new SchemaFault(at(...below), message);
  }

  function number(keyword: string): JsonNumber | undefined {
    const found = value(keyword);
    if (found === undefined || isNumber(found)) return found;
    return fault('must be a number', keyword);
  }

  const subschema = (...keys: Path): SchemaNode => linker.link(value(...keys), at(...keys));

  return {
    node,
    has: (keyword) => Object.hasOwn(schema, keyword),
    value,
    fault,
    add: (check) => {
      node.checks.push(check);
    },
    number,

    count(keyword) {
      const given = number(keyword);
      const found = given === undefined ? undefined : toDouble(given);
      if (found === undefined || (Number.isInteger(found) && found >= 0)) return found;
      return fault('must be a whole number, 0 or more', keyword);
    },

    strings(...keys) {
      const found = value(...keys);
      if (Array.isArray(found) && found.every((item) => typeof item === 'string')) return found;
      return fault('must be a list of property names', ...keys);
    },

    pattern(source, ...keys) {
      if (typeof source !== 'string') return fault('must be a regular expression', ...keys);
      try {
        return linker.pattern(source, at(...keys));
      } catch (error) {
        if (error instanceof PatternError) return fault(error.message, ...keys);
        throw error;
      }
    },

    subschema,

    subschemas(keyword) {
      const found = value(keyword);
      if (!Array.isArray(found) || found.length === 0)
        return fault('must be a list of at least one schema', keyword);
      return found.map((_, index) => subschema(keyword, index));
    },

    names(keyword) {
      const found = value(keyword);
      if (found === undefined) return [];
      return isObject(found) ? Object.keys(found) : fault('must be an object', keyword);
    },

    referred(keyword) {
      const found = value(keyword);
      return typeof found === 'string'
        ? linker.resolve(found, at(keyword))
        : fault('must be a string', keyword);
    },
  };
}
