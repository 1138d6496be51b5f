// Fills in the defaults of missing fields, on a copy. Only schemas that certainly apply count: none under `not` or `if`, and a
// union's branch only if `type` leaves no other. Filling in a second time therefore changes nothing.
import { fits } from './check.ts';
import { copyOf, isObject, type JsonObject, put } from './json.ts';
import { deeper, type Run, spend } from './run.ts';
import { candidates, itemSchema, propertySchemas, type SchemaNode } from './schema-node.ts';

/** Returns `value` itself if nothing is missing. */
export function withDefaults(nodes: SchemaNode[], value: unknown, run: Run): unknown {
  if (!isObject(value) && !Array.isArray(value)) return value;
  return deeper(run, () => {
    const applicable = allThatHold(nodes, value, run);
    return isObject(value) ? filledObject(applicable, value, run) : filledArray(applicable, value, run);
  });
}

function allThatHold(nodes: SchemaNode[], value: unknown, run: Run): SchemaNode[] {
  // The loop also visits the nodes that it adds.
  const found = new Set(nodes);
  for (const node of found) {
    spend(run, 1);
    for (const base of node.always) found.add(base);
    for (const union of node.unions) {
      spend(run, union.length);
      const [only, ...others] = candidates(union, value);
      if (only && others.length === 0) found.add(only);
    }
  }
  return [...found];
}

function schemasOf(nodes: SchemaNode[], key: string, run: Run): SchemaNode[] {
  spend(run, nodes.length);
  return nodes.flatMap((node) => propertySchemas(node, key, run));
}

function filledObject(nodes: SchemaNode[], value: JsonObject, run: Run): JsonObject {
  let result = value;
  const set = (key: string, item: unknown): void => {
    if (result === value) result = { ...value };
    put(result, key, item);
  };
  for (const key of Object.keys(value)) {
    spend(run, 1);
    const filled = withDefaults(schemasOf(nodes, key, run), value[key], run);
    if (filled !== value[key]) set(key, filled);
  }
  for (const node of nodes)
    for (const [key, schema] of node.properties) {
      spend(run, 1);
      if (!schema.fallback || Object.hasOwn(result, key) || !isFitting(schema, schema.fallback, run))
        continue;
      set(key, withDefaults(schemasOf(nodes, key, run), copyOf(schema.fallback.value, run), run));
    }
  return result;
}

/**
 * Skips a default that its own schema refuses, such as null for a string. Python tools use such defaults for "not given". The
 * model couldn't fix a field that it has not sent.
 */
function isFitting(schema: SchemaNode, fallback: { value: unknown; fits?: boolean }, run: Run): boolean {
  fallback.fits ??= fits(schema, withDefaults([schema], fallback.value, run), run);
  return fallback.fits;
}

function filledArray(nodes: SchemaNode[], value: unknown[], run: Run): unknown[] {
  let result = value;
  for (const [index, item] of value.entries()) {
    spend(run, nodes.length);
    const schemas = nodes.flatMap((node) => itemSchema(node, index) ?? []);
    const filled = withDefaults(schemas, item, run);
    if (filled === item) continue;
    if (result === value) result = [...value];
    result[index] = filled;
  }
  return result;
}
