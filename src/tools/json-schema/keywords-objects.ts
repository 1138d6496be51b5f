// Keywords for objects.
import { check, checkAt, faultsIn } from './check.ts';
import { isObject, sizeOf } from './json.ts';
import type { Place } from './place.ts';
import { isFull, type Run, report, reportAt, spend } from './run.ts';
import { emptyNode, propertySchemas } from './schema-node.ts';
import { counted, listOf, shown } from './words.ts';

export function propertyKeywords(place: Place): void {
  const { node } = place;
  for (const name of place.names('properties'))
    node.properties.set(name, place.subschema('properties', name));
  for (const source of place.names('patternProperties')) {
    const pattern = place.pattern(source, 'patternProperties', source);
    const schema = place.subschema('patternProperties', source);
    // A property whose name can't be checked may have any value.
    node.patternProperties.push({ pattern, node: pattern.unchecked ? emptyNode() : schema });
  }
  // For `false` the message lists the allowed names, because a model has often only misspelt a name.
  const closed = place.value('additionalProperties') === false;
  if (place.has('additionalProperties')) node.additionalProperties = place.subschema('additionalProperties');
  const { additionalProperties, properties, patternProperties } = node;
  if (!additionalProperties && properties.size + patternProperties.length === 0) return;
  const known = properties.size > 0 ? ` (known: ${listOf([...properties.keys()])})` : '';
  const checkProperty = (key: string, value: unknown, run: Run): void => {
    for (const schema of propertySchemas(node, key, run))
      if (closed && schema === additionalProperties)
        reportAt(run, key, `is not a known field: leave it out${known}`);
      else checkAt(schema, key, value, run);
  };
  place.add((input, run) => {
    if (!isObject(input)) return;
    for (const key of Object.keys(input)) {
      if (isFull(run)) return;
      spend(run, 1);
      checkProperty(key, input[key], run);
    }
  });
}

function requireAll(place: Place, names: string[], condition?: string): void {
  const when = condition === undefined ? '' : ` when ${shown(condition)} is given`;
  place.add((input, run) => {
    if (!isObject(input) || (condition !== undefined && !Object.hasOwn(input, condition))) return;
    for (const name of names) {
      if (isFull(run)) return;
      spend(run, 1);
      if (!Object.hasOwn(input, name)) reportAt(run, name, `is required${when}`);
    }
  });
}

export function requiredKeywords(place: Place): void {
  if (place.has('required')) requireAll(place, place.strings('required'));
  for (const name of place.names('dependentRequired'))
    requireAll(place, place.strings('dependentRequired', name), name);
  for (const name of place.names('dependentSchemas')) dependOn(place, 'dependentSchemas', name);
  // Draft 7 has both kinds in one keyword.
  for (const name of place.names('dependencies'))
    if (Array.isArray(place.value('dependencies', name)))
      requireAll(place, place.strings('dependencies', name), name);
    else dependOn(place, 'dependencies', name);
}

function dependOn(place: Place, keyword: string, name: string): void {
  const schema = place.subschema(keyword, name);
  place.node.inPlace.push(schema);
  place.add((input, run) => {
    if (isObject(input) && Object.hasOwn(input, name)) check(schema, input, run);
  });
}

export function objectSizeKeywords(place: Place): void {
  const least = place.count('minProperties') ?? 0;
  const most = place.count('maxProperties') ?? Number.POSITIVE_INFINITY;
  if (!place.has('minProperties') && !place.has('maxProperties')) return;
  place.add((input, run) => {
    if (!isObject(input)) return;
    const size = sizeOf(input, run);
    if (size < least) report(run, `must have at least ${counted(least, 'field')}`);
    if (size > most) report(run, `must have at most ${counted(most, 'field')}`);
  });
}

export function propertyNamesKeyword(place: Place): void {
  if (!place.has('propertyNames')) return;
  const schema = place.subschema('propertyNames');
  place.add((input, run) => {
    if (!isObject(input)) return;
    for (const key of Object.keys(input)) {
      if (isFull(run)) return;
      run.path.push(key);
      const [fault] = faultsIn(schema, key, run);
      run.path.pop();
      if (fault) reportAt(run, key, `is not an allowed name of a field: ${fault}`);
    }
  });
}
