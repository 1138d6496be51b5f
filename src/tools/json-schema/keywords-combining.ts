// Keywords that combine schemas for the same value.
import { check, faultsIn, fits } from './check.ts';
import type { Place } from './place.ts';
import { isFull, type Run, report } from './run.ts';
import { candidates, type SchemaNode } from './schema-node.ts';
import { clip, counted, shown } from './words.ts';

/** Ignoring these keywords would silently leave part of the input unchecked. */
const UNSUPPORTED = {
  $dynamicRef: "use '$ref' with '#/$defs/Name'",
  $recursiveRef: "use '$ref' with '#/$defs/Name'",
  unevaluatedProperties: "use 'additionalProperties' beside all 'properties'",
  unevaluatedItems: "use 'items' beside 'prefixItems'",
};

export function referenceKeywords(place: Place): void {
  // `unevaluatedProperties: true` forbids nothing, so ignoring it is safe.
  for (const [keyword, instead] of Object.entries(UNSUPPORTED))
    if (place.has(keyword) && place.value(keyword) !== true)
      place.fault(`is not supported: ${instead}`, keyword);
  if (place.has('$ref')) always(place, place.referred('$ref'));
  if (place.has('allOf')) for (const schema of place.subschemas('allOf')) always(place, schema);
}

function always(place: Place, schema: SchemaNode): void {
  place.node.always.push(schema);
  place.node.inPlace.push(schema);
  place.add((input, run) => check(schema, input, run));
}

const BRANCHES_SHOWN_MAX = 3;
const BRANCH_CHARACTERS_MAX = 200;

/**
 * If `type` leaves one branch for the value, its faults tell the model what to fix. Otherwise each branch reports one fault.
 * The faults come from the first check. A second check per level of nesting would double the work at each level.
 */
function reportNoMatch(union: SchemaNode[], faults: string[][], input: unknown, run: Run): void {
  const [only, ...others] = candidates(union, input);
  if (only && others.length === 0) {
    run.faults.push(...(faults[union.indexOf(only)] ?? []).slice(0, run.faultsMax - run.faults.length));
    return;
  }
  const words = faults
    .slice(0, BRANCHES_SHOWN_MAX)
    .map(([fault]) => clip(fault ?? '', BRANCH_CHARACTERS_MAX));
  const more = faults.length > BRANCHES_SHOWN_MAX ? '; …' : '';
  report(run, `fits none of ${counted(union.length, 'alternative')} (${words.join('; ')}${more})`);
}

function anyOfKeyword(place: Place): void {
  const union = branches(place, 'anyOf');
  place.add((input, run) => {
    const faults: string[][] = [];
    for (const schema of union) {
      const found = faultsIn(schema, input, run);
      if (found.length === 0) return;
      faults.push(found);
    }
    reportNoMatch(union, faults, input, run);
  });
}

function oneOfKeyword(place: Place): void {
  const union = branches(place, 'oneOf');
  place.add((input, run) => {
    const faults: string[][] = [];
    for (const [index, schema] of union.entries()) {
      const found = faultsIn(schema, input, run);
      if (found.length > 0) faults.push(found);
      else if (faults.length < index) {
        report(run, 'fits more than one of its alternatives, but must fit exactly one');
        return;
      }
    }
    if (faults.length === union.length) reportNoMatch(union, faults, input, run);
  });
}

function branches(place: Place, keyword: string): SchemaNode[] {
  const union = place.subschemas(keyword);
  place.node.unions.push(union);
  for (const schema of union) place.node.inPlace.push(schema);
  return union;
}

export function unionKeywords(place: Place): void {
  if (place.has('anyOf')) anyOfKeyword(place);
  if (place.has('oneOf')) oneOfKeyword(place);
}

export function notKeyword(place: Place): void {
  if (!place.has('not')) return;
  const schema = place.subschema('not');
  place.node.inPlace.push(schema);
  const words = shown(place.value('not'));
  place.add((input, run) => {
    if (fits(schema, input, run)) report(run, `must not fit ${words}`);
  });
}

/** `then` and `else` have no effect without `if`. */
export function conditionKeywords(place: Place): void {
  if (!place.has('if')) return;
  const [condition, yes, no] = ['if', 'then', 'else'].map((keyword) =>
    place.has(keyword) ? place.subschema(keyword) : null,
  );
  if (!condition) return;
  for (const schema of [condition, yes, no]) if (schema) place.node.inPlace.push(schema);
  place.add((input, run) => {
    const branch = fits(condition, input, run) ? yes : no;
    if (branch && !isFull(run)) check(branch, input, run);
  });
}
