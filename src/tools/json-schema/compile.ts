// Compiles a schema to nodes. Checks the whole schema, so that a bad tool is refused at registration instead of at a call.
import { isObject, own } from './json.ts';
import { arraySizeKeywords, containsKeywords, itemKeywords, uniqueKeyword } from './keywords-arrays.ts';
import { conditionKeywords, notKeyword, referenceKeywords, unionKeywords } from './keywords-combining.ts';
import {
  objectSizeKeywords,
  propertyKeywords,
  propertyNamesKeyword,
  requiredKeywords,
} from './keywords-objects.ts';
import { enumKeywords, numberKeywords, stringKeywords, typeKeyword } from './keywords-values.ts';
import { SCHEMAS_MAX } from './limits.ts';
import { createPatterns, type Pattern, type Unchecked } from './patterns.ts';
import { createPlace, type Linker, type Path, type Place, SchemaFault } from './place.ts';
import { report } from './run.ts';
import { emptyNode, type SchemaNode } from './schema-node.ts';

export interface UncheckedPattern {
  path: Path;
  reason: Unchecked;
}

export interface CompiledSchema {
  root: SchemaNode;
  /** False if no schema has a default. */
  hasDefaults: boolean;
  /** The memory the schema and its patterns' automata may take. */
  bytes: number;
  /** The paths of the unchecked patterns, with the reasons. */
  unchecked: UncheckedPattern[];
  /** The work of compiling the schema, see `WORK_MAX`. */
  work: number;
}

/** Cheap and telling keywords first: only the first faults are reported. Other keywords, `format` included, are ignored. */
const KEYWORDS: ((place: Place) => void)[] = [
  typeKeyword,
  enumKeywords,
  requiredKeywords,
  propertyKeywords,
  propertyNamesKeyword,
  objectSizeKeywords,
  numberKeywords,
  stringKeywords,
  itemKeywords,
  arraySizeKeywords,
  containsKeywords,
  uniqueKeyword,
  referenceKeywords,
  unionKeywords,
  notKeyword,
  conditionKeywords,
];

/** Definitions are checked even if nothing refers to them yet. */
const DEFINITIONS = ['$defs', 'definitions'];

/** Measured: 5,000 schemas without keywords take 3.2 MB. */
const BYTES_PER_SCHEMA = 700;

interface Pending {
  schema: unknown;
  node: SchemaNode;
  path: Path;
}

export function compileSchema(schema: Record<string, unknown>): CompiledSchema {
  const patterns = createPatterns();
  const nodes = new Map<object, SchemaNode>();
  const all: Pending[] = [];
  const unchecked: UncheckedPattern[] = [];

  function pattern(source: string, path: Path): Pattern {
    const made = patterns.pattern(source);
    if (made.unchecked) unchecked.push({ path, reason: made.unchecked });
    return made;
  }

  function link(subschema: unknown, path: Path): SchemaNode {
    if (!isObject(subschema) && typeof subschema !== 'boolean')
      throw new SchemaFault(path, 'must be a schema: an object, true or false');
    const known = typeof subschema === 'object' ? nodes.get(subschema) : undefined;
    if (known) return known;
    if (all.length >= SCHEMAS_MAX) throw new SchemaFault(path, `is one of more than ${SCHEMAS_MAX} schemas`);
    const node = emptyNode();
    if (typeof subschema === 'object') nodes.set(subschema, node);
    all.push({ schema: subschema, node, path });
    return node;
  }

  const resolve = (reference: string, path: Path) => {
    const target = targetOf(schema, reference, path);
    return link(target.schema, target.path);
  };
  const root = link(schema, []);
  // The loop also visits the entries that it adds.
  for (const pending of all) fillIn(pending, { link, resolve, pattern });
  inherit(all);
  const hasDefaults = all.some(({ node }) => node.fallback !== null);
  return {
    root,
    hasDefaults,
    bytes: all.length * BYTES_PER_SCHEMA + patterns.bytes(),
    unchecked,
    work: all.length + patterns.work(),
  };
}

function fillIn({ schema, node, path }: Pending, linker: Linker): void {
  if (schema === false) node.checks.push((_, run) => report(run, 'is not allowed: leave it out'));
  if (!isObject(schema)) return;
  const place = createPlace(linker, schema, node, path);
  for (const keyword of KEYWORDS) keyword(place);
  for (const keyword of DEFINITIONS) for (const name of place.names(keyword)) place.subschema(keyword, name);
  if (place.has('default')) node.fallback = { value: place.value('default') };
}

/** Resolves JSON Pointers within the root only. Nothing is ever fetched. */
export function targetOf(root: Record<string, unknown>, reference: string, path: Path) {
  if (reference !== '#' && !reference.startsWith('#/'))
    throw new SchemaFault(path, "must point into this schema, such as '#/$defs/Name'");
  const keys = decoded(reference)
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  let schema: unknown = root;
  for (const key of keys) {
    const list = Array.isArray(schema) && /^\d{1,6}$/.test(key);
    if (list) schema = (schema as unknown[])[Number(key)];
    else schema = isObject(schema) ? own(schema, key) : undefined;
  }
  if (schema === undefined) throw new SchemaFault(path, 'points to nothing in this schema');
  return { schema, path: keys };
}

function decoded(reference: string): string {
  try {
    return decodeURIComponent(reference);
  } catch {
    return reference; // A percent sign that encodes nothing stands for itself.
  }
}

/**
 * Passes types and defaults from referenced schemas to the schemas that refer to them, leaves first. A schema left over at the
 * end refers to itself for the same value, and its check would never end. A cycle through properties or items ends with the
 * input.
 */
function inherit(all: Pending[]): void {
  const users = new Map<SchemaNode, SchemaNode[]>(all.map(({ node }) => [node, []]));
  const open = new Map(all.map(({ node }) => [node, node.inPlace.length]));
  for (const { node } of all) for (const used of node.inPlace) users.get(used)?.push(node);
  const ready = all.map(({ node }) => node).filter((node) => node.inPlace.length === 0);
  for (const node of ready) {
    open.delete(node);
    for (const base of node.always) {
      node.types ??= base.types;
      node.fallback ??= base.fallback;
    }
    for (const user of users.get(node) ?? []) {
      const left = (open.get(user) ?? 0) - 1;
      open.set(user, left);
      if (left === 0) ready.push(user);
    }
  }
  const endless = onCycle(open);
  const fault = all.find(({ node }) => node === endless);
  if (fault) throw new SchemaFault(fault.path, ENDLESS);
}

const ENDLESS = 'refers to itself without a property or an item between, so that checking it would never end';

/** Each leftover schema refers to another leftover schema, so following the references finds a cycle. */
function onCycle(leftOver: ReadonlyMap<SchemaNode, number>): SchemaNode | undefined {
  const seen = new Set<SchemaNode>();
  let node = leftOver.keys().next().value;
  while (node && !seen.has(node)) {
    seen.add(node);
    node = node.inPlace.find((used) => leftOver.has(used));
  }
  return node;
}
