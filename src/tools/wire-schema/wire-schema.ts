// Translates a tool's schema for the Messages API, and the model's input back. Rewrites everything the API refuses: combinations
// at the root, some field names, spellings of older drafts and of OpenAPI 3.0. The checker still applies the tool's own schema,
// so the translation may be looser.
import { targetOf } from '../json-schema/compile.ts';
import { isObject, type JsonObject, put } from '../json-schema/json.ts';
import { SCHEMA_BYTES_MAX, SCHEMAS_MAX } from '../json-schema/limits.ts';
import { SchemaFault } from '../json-schema/place.ts';
import { startRun, TooComplexError } from '../json-schema/run.ts';
import type { Schema } from './keywords.ts';
import { createUniqueNames, type Names, namesOf } from './names.ts';
import { type Resolve, renamed } from './rename.ts';
import { createMerger, fieldsOf, type Merged } from './root.ts';
import { type Translation, translate } from './translate.ts';

export interface WireSchema {
  inputSchema: JsonObject;
  /** @throws {TooComplexError} when schema and input together need too much work. */
  fromWire(input: JsonObject): JsonObject;
}

/** A combination at the root repeats schemas, so the wire schema may be larger than the original. */
const WIRE_SCHEMAS_MAX = 2 * SCHEMAS_MAX;
const WIRE_CHARACTERS_MAX = 2 * SCHEMA_BYTES_MAX;

const tooComplex = (): SchemaFault =>
  new SchemaFault([], 'is too complex to be shown to the model: use fewer combinations of schemas');

/** The referenced schemas, each moved under `$defs`, because the root's places change. */
function createReferences() {
  const names = new Map<string, string>();
  const unique = createUniqueNames(new Set());
  return {
    names,
    nameOf(reference: string): string {
      const known = names.get(reference);
      if (known !== undefined) return known;
      const last = reference.split('/').at(-1) ?? '';
      const plain = last.replace(/[^a-zA-Z0-9_.-]/g, '_').slice(0, 60);
      const base = plain === '' || reference === '#' ? 'root' : plain;
      const name = unique(base);
      names.set(reference, name);
      return name;
    },
  };
}

const ALTERNATIVES_CHARS_MAX = 600;

/** The information only the combination had: which fields belong together. */
function wordsOf({ alternatives }: Merged, names: Names): string | null {
  const sets = new Set(
    alternatives.map((fields) => fields.map((name) => names.get(name) ?? name).join(', ') || 'nothing more'),
  );
  if (sets.size < 2) return null;
  const shown = [...sets].join('; or ').slice(0, ALTERNATIVES_CHARS_MAX);
  return `Required fields, one of these alternatives: ${shown}.`;
}

const COMBINING = ['$ref', 'allOf', 'anyOf', 'oneOf', 'nullable'];

/** The root as one object, still with the tool's own names and spellings. */
function singleObject(root: JsonObject, merged: Merged, names: Names): JsonObject {
  const object: JsonObject = {};
  for (const keyword of Object.keys(root)) if (!COMBINING.includes(keyword)) object[keyword] = root[keyword];
  const properties: JsonObject = {};
  for (const [name, schema] of fieldsOf(merged)) put(properties, name, schema);
  object.type = 'object';
  object.properties = properties;
  if (merged.required.size > 0) object.required = [...merged.required];
  if (merged.isClosed) object.additionalProperties = false;
  const words = wordsOf(merged, names);
  const own = typeof root.description === 'string' ? [root.description] : [];
  if (words !== null) object.description = [...own, words].join('\n');
  return object;
}

function translated(root: JsonObject, names: Names, resolve: Resolve): JsonObject {
  const references = createReferences();
  const run = startRun(1);
  let schemasLeft = WIRE_SCHEMAS_MAX;
  let charactersLeft = WIRE_CHARACTERS_MAX;
  const translation: Translation = {
    names,
    reference: (reference) => `#/$defs/${references.nameOf(reference)}`,
    value: (value, schema) =>
      names.size === 0 ? value : renamed(value, [schema], { names, resolve, direction: 'to wire' }, run),
    spend(characters) {
      schemasLeft -= 1;
      charactersLeft -= characters;
      if (schemasLeft < 0 || charactersLeft < 0) throw tooComplex();
    },
  };
  const merged = createMerger(resolve)(root);
  const wire = translate(singleObject(root, merged, names), translation) as JsonObject;
  const definitions: [string, Schema][] = [];
  // The loop also visits the names that it adds.
  for (const [reference, name] of references.names)
    definitions.push([name, translate(resolve(reference) ?? true, translation)]);
  if (definitions.length > 0) wire.$defs = Object.fromEntries(definitions);
  return wire;
}

/**
 * @param root accepted by `compileSchema` without a fault.
 * @throws {SchemaFault} if the schema can't be translated.
 */
export function toWireSchema(root: JsonObject): WireSchema {
  const resolve: Resolve = (reference) => {
    const { schema } = targetOf(root, reference, []);
    return isObject(schema) || typeof schema === 'boolean' ? schema : undefined;
  };
  const names = namesOf(root, resolve);
  const ownNames = new Map([...names].map(([name, wire]) => [wire, name]));
  try {
    return {
      inputSchema: translated(root, names, resolve),
      fromWire: (input) =>
        names.size === 0
          ? input
          : (renamed(
              input,
              [root],
              { names: ownNames, resolve, direction: 'from wire' },
              startRun(1),
            ) as JsonObject),
    };
  } catch (error) {
    throw error instanceof TooComplexError ? tooComplex() : error;
  }
}
