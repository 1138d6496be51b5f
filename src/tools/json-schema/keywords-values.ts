// Keywords for single values: type, enum, const, numbers, strings.
import {
  compareNumbers,
  isExactMultiple,
  isExactNumber,
  isNumber,
  type JsonNumber,
  simplest,
  toDouble,
} from '../../contracts/json.ts';
import { compared, isEqual, weigh } from './json.ts';
import type { Place } from './place.ts';
import { type Run, report, spend } from './run.ts';
import { admits, type Check } from './schema-node.ts';
import { counted, listOf, shown } from './words.ts';

const TYPES: ReadonlyMap<string, string> = new Map([
  ['string', 'a string'],
  ['integer', 'an integer'],
  ['number', 'a number'],
  ['boolean', 'true or false'],
  ['object', 'an object'],
  ['array', 'a list'],
  ['null', 'null'],
]);

export function typeKeyword(place: Place): void {
  // OpenAPI 3.0's spelling for "or null". Tools generated from such documents still use it.
  place.node.nullable = place.value('nullable') === true;
  if (!place.has('type')) return;
  const value = place.value('type');
  const types: unknown[] = Array.isArray(value) ? value : [value];
  if (types.length === 0 || !types.every((type) => typeof type === 'string' && TYPES.has(type)))
    place.fault(`must be one of ${[...TYPES.keys()].join(', ')}, or a list of them`, 'type');
  const names = new Set(types.map(String));
  place.node.types = names;
  const words = [...names].map((name) => TYPES.get(name)).join(' or ');
  place.add((input, run) => {
    if (!admits(names, input)) report(run, `must be ${words}`);
  });
}

/** An exact number is an object, so a set lookup would miss an equal number. Such numbers are compared instead. */
const isScalar = (value: unknown): boolean => typeof value !== 'object' || value === null;

const simplified = (value: unknown): unknown => (isExactNumber(value) ? simplest(value) : value);

/** Scalars are looked up in a set, so a long list costs nothing. Other values are compared, with work up to the schema's size. */
function oneOfValues(values: unknown[], words: string): Check {
  const known = values.map(simplified);
  const scalars = new Set(known.filter(isScalar));
  const others = known.filter((value) => !isScalar(value));
  return (given, run) => {
    weigh(given, run);
    const input = simplified(given);
    const found = isScalar(input) ? scalars.has(input) : others.some((value) => isEqual(value, input, run));
    if (!found) report(run, `must be ${words}`);
  };
}

export function enumKeywords(place: Place): void {
  if (place.has('const')) {
    const value = place.value('const');
    place.add(oneOfValues([value], shown(value)));
  }
  if (!place.has('enum')) return;
  const values = place.value('enum');
  if (!Array.isArray(values) || values.length === 0)
    place.fault('must be a list of at least one value', 'enum');
  else place.add(oneOfValues(values, values.length > 1 ? `one of ${listOf(values)}` : listOf(values)));
}

function limit(place: Place, fits: (input: JsonNumber, run: Run) => boolean, words: string): void {
  place.add((input, run) => {
    if (isNumber(input) && !fits(input, run)) report(run, `must be ${words}`);
  });
}

/** `exclusiveMinimum: true` beside `minimum` is draft 4, which OpenAPI 3.0 uses. */
function bound(place: Place, keyword: 'minimum' | 'maximum', exclusiveKeyword: string): void {
  const exclusive = place.value(exclusiveKeyword);
  const value = place.number(keyword);
  const strict = typeof exclusive === 'boolean' ? undefined : place.number(exclusiveKeyword);
  const above = keyword === 'minimum';
  const sign = above ? 1 : -1;
  if (value !== undefined && exclusive !== true)
    limit(
      place,
      (input, run) => compared(input, value, run) * sign >= 0,
      `at ${above ? 'least' : 'most'} ${value}`,
    );
  const edge = exclusive === true ? value : strict;
  if (edge !== undefined)
    limit(
      place,
      (input, run) => compared(input, edge, run) * sign > 0,
      `${above ? 'more' : 'less'} than ${edge}`,
    );
}

/** A quotient is off by a few units in the last place: 19.99 / 0.01 is 1998.9999999999998. */
const QUOTIENT_ERROR = 4 * Number.EPSILON;

/** Exact if either number is an exact number, unless it has some hundred digits. */
function isMultiple(value: JsonNumber, of: JsonNumber): boolean {
  if (typeof value === 'number' && typeof of === 'number') return isDoubleMultiple(value, of);
  return isExactMultiple(value, of) ?? isDoubleMultiple(toDouble(value), toDouble(of));
}

function isDoubleMultiple(value: number, of: number): boolean {
  if (Number.isInteger(value) && Number.isInteger(of)) return value % of === 0;
  const quotient = value / of;
  return Math.abs(quotient - Math.round(quotient)) <= Math.abs(quotient) * QUOTIENT_ERROR;
}

export function numberKeywords(place: Place): void {
  bound(place, 'minimum', 'exclusiveMinimum');
  bound(place, 'maximum', 'exclusiveMaximum');
  const step = place.number('multipleOf');
  if (step === undefined) return;
  if (compareNumbers(step, 0) <= 0) place.fault('must be more than 0', 'multipleOf');
  const fits = (input: JsonNumber, run: Run) => {
    weigh(input, run);
    return isMultiple(input, step);
  };
  limit(place, fits, `a multiple of ${step}`);
}

/** Characters covered by one step. */
const CHARACTERS_PER_STEP = 8;

/** Counts characters as JSON Schema does: a surrogate pair is one character. */
function charactersIn(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

function lengthKeywords(place: Place): void {
  const least = place.count('minLength') ?? 0;
  const most = place.count('maxLength') ?? Number.POSITIVE_INFINITY;
  if (!place.has('minLength') && !place.has('maxLength')) return;
  place.add((input, run) => {
    if (typeof input !== 'string') return;
    spend(run, input.length / CHARACTERS_PER_STEP);
    const length = charactersIn(input);
    if (length < least) report(run, `must have at least ${counted(least, 'character')}`);
    if (length > most) report(run, `must have at most ${counted(most, 'character')}`);
  });
}

export function stringKeywords(place: Place): void {
  lengthKeywords(place);
  if (!place.has('pattern')) return;
  const source = place.value('pattern');
  const pattern = place.pattern(source, 'pattern');
  if (pattern.unchecked) return;
  place.add((input, run) => {
    if (typeof input === 'string' && !pattern.matches(input, run))
      report(run, `must match the pattern ${shown(source)}`);
  });
}
