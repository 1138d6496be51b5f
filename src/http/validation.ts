// Checks input against its schema. The error says in one sentence which field is wrong, the expected value and the limit.
import type { z } from 'zod';
import { ApiError } from '../contracts/errors.ts';
import { isNumber, withDoubles } from '../contracts/json.ts';
import { FOREIGN_FIELDS } from '../contracts/json-value.ts';
import { notInThisVersion } from '../contracts/not-yet.ts';
import { bodyPath, type PathFormat, type PathSegment, queryPath } from './field-path.ts';
import { findNotYet } from './not-yet.ts';

type Issue = z.core.$ZodIssue;

interface InputKind {
  noun: 'field' | 'parameter';
  unknown: string;
  path: PathFormat;
}

export const BODY: InputKind = { noun: 'field', unknown: 'Unknown field', path: bodyPath };
export const QUERY: InputKind = { noun: 'parameter', unknown: 'Unknown query parameter', path: queryPath };

/**
 * @param operationId Selects the call's fields of later versions, to name them in the error.
 * @throws ApiError `invalid_request` for the first fault.
 */
export function parseInput<T extends z.ZodType>(
  schema: T,
  value: unknown,
  kind: InputKind,
  operationId?: string,
): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const notYet = findNotYet(operationId, value);
  if (notYet)
    throw new ApiError('invalid_request', notInThisVersion(notYet.name), { param: kind.path(notYet.path) });
  const first = firstOf(result.error.issues, value);
  if (!first) throw result.error;
  throw describe(innermost(first, value), value, kind);
}

/** Parses a body. Numbers keep their digits in the client's own fields. In our own fields they are plain numbers. */
export const parseBody = <T extends z.ZodType>(
  schema: T,
  received: unknown,
  operationId?: string,
): z.output<T> => parseInput(schema, withDoubles(received, FOREIGN_FIELDS), BODY, operationId);

function describe(issue: Issue, root: unknown, kind: InputKind): ApiError {
  const path = segments(issue);
  if (issue.code === 'unrecognized_keys') {
    const param = kind.path([...path, issue.keys[0] ?? '']);
    const missing = (issue as UnknownKeys).missing?.map((name) => `'${kind.path([...path, name])}'`) ?? [];
    const hint = missing.length > 0 ? `. Required, but missing: ${missing.join(', ')}` : '';
    return new ApiError('invalid_request', `${kind.unknown} '${param}'${hint}`, { param });
  }
  const param = kind.path(path);
  const text = `The '${param}' ${kind.noun} ${predicate(issue, valueAt(root, path))}`;
  return new ApiError('invalid_request', text, { param });
}

const segments = (issue: { path: PropertyKey[] }): PathSegment[] =>
  issue.path.map((segment) => (typeof segment === 'number' ? segment : String(segment)));

/** A path may continue inside a text (a comma list). The received value is then the text. */
function valueAt(root: unknown, path: readonly PathSegment[]): unknown {
  let value = root;
  for (const segment of path) {
    if (typeof value !== 'object' || value === null) return value;
    value = (value as Record<PathSegment, unknown>)[segment];
  }
  return value;
}

/** Adds the missing required fields beside the unknown field, which is mostly a misspelling of one of them. */
type UnknownKeys = z.core.$ZodIssueUnrecognizedKeys & { missing?: string[] };

/** The first fault. An unknown field comes before missing fields of the same object. */
function firstOf(issues: Issue[], root: unknown): Issue | undefined {
  const isMissing = (issue: Issue) => issue.path.length > 0 && valueAt(root, segments(issue)) === undefined;
  const [first] = issues;
  if (!first || !isMissing(first)) return first;
  const parent = JSON.stringify(first.path.slice(0, -1));
  const unknown = issues.find(
    (issue) => issue.code === 'unrecognized_keys' && JSON.stringify(issue.path) === parent,
  );
  if (!unknown) return first;
  const beside = issues.filter(
    (issue) => isMissing(issue) && JSON.stringify(issue.path.slice(0, -1)) === parent,
  );
  return { ...unknown, missing: beside.map(({ path }) => String(path.at(-1))) } as UnknownKeys;
}

/** How far below the union's own value a branch got. Only branches that match the outer type get any further. */
const depthOf = (issue: Issue): number => issue.path.length + (issue.code === 'unrecognized_keys' ? 1 : 0);

/** A branch counts no faults if it accepts everything sent and only misses fields. */
const faultsOf = (issues: Issue[], isSent: (issue: Issue) => boolean): number =>
  issues.some(isSent) ? issues.length : 0;

/** Picks the branch of a union that the client meant: the deepest match, then the fewest faults, then the first. */
function innermost(issue: Issue, root: unknown): Issue {
  if (issue.code !== 'invalid_union') return issue;
  const isSent = (each: Issue) => valueAt(root, [...segments(issue), ...segments(each)]) !== undefined;
  const [meant] = issue.errors
    .flatMap((issues) => {
      const first = firstOf(issues, valueAt(root, segments(issue)));
      return first && depthOf(first) > 0 ? [{ first, faults: faultsOf(issues, isSent) }] : [];
    })
    .sort((a, b) => depthOf(b.first) - depthOf(a.first) || a.faults - b.faults);
  if (!meant) return issue;
  return innermost({ ...meant.first, path: [...issue.path, ...meant.first.path] } as Issue, root);
}

/** zod's own wording. All other messages come from our contracts, as the end of a sentence. */
const DEFAULT_MESSAGE = /^(Invalid|Too (big|small)|Unrecognized)/;

function predicate(issue: Issue, received: unknown): string {
  if (received === undefined && (issue.code === 'invalid_type' || issue.code === 'invalid_union'))
    return 'is required';
  if (issue.code === 'invalid_key') return keyPredicate(issue.issues[0]);
  if (!DEFAULT_MESSAGE.test(issue.message)) return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      return typePredicate(issue.expected, received);
    case 'invalid_value':
      return received === undefined ? 'is required' : oneOf(issue.values);
    case 'invalid_union':
      return 'options' in issue ? oneOf(issue.options as string[]) : 'has none of the allowed shapes';
    case 'too_big':
    case 'too_small':
      return `must ${size(issue)}`;
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    default:
      return 'is not valid';
  }
}

function keyPredicate(issue: Issue | undefined): string {
  if (issue?.code === 'too_big' || issue?.code === 'too_small') return `has a name that must ${size(issue)}`;
  return issue && !DEFAULT_MESSAGE.test(issue.message) ? issue.message : 'has a name that is not allowed';
}

const quote = (value: unknown): string => (typeof value === 'string' ? `'${value}'` : String(value));

const oneOf = (values: readonly unknown[]): string =>
  values.length === 1 ? `must be ${quote(values[0])}` : `must be one of ${values.map(quote).join(', ')}`;

const EXPECTED: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'an array',
  object: 'an object',
  record: 'an object',
};

function typePredicate(expected: string, received: unknown): string {
  const wanted = EXPECTED[expected] ?? expected;
  if (expected === 'int' && typeof received === 'number') return `must be ${wanted}`;
  return `must be ${wanted}, not ${nameOf(received)}`;
}

function nameOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (isNumber(value)) return 'a number';
  return EXPECTED[typeof value] ?? typeof value;
}

type SizeIssue = Extract<Issue, { code: 'too_big' | 'too_small' }>;

function size(issue: SizeIssue): string {
  const [edge, limit] = issue.code === 'too_big' ? ['at most', issue.maximum] : ['at least', issue.minimum];
  const units: Record<string, string> = { string: 'character', array: 'item', object: 'key', record: 'key' };
  const unit = units[issue.origin];
  if (unit) return `have ${edge} ${limit} ${unit}${Number(limit) === 1 ? '' : 's'}`;
  return `be ${edge} ${limit}`;
}
