// What the checker of custom tools accepts, refuses and says.
import { parseJson, stringifyJson } from '../../src/contracts/json.ts';
import { createSchemaChecker } from '../../src/tools/json-schema/checker.ts';

type Json = Record<string, unknown>;

const checker = createSchemaChecker();
const properties = (fields: Json, more: Json = {}): Json => ({ type: 'object', properties: fields, ...more });
const apply = (schema: Json, input: Json) => checker.apply(schema, input);
/** The words for `input` as the field `x`, or null. */
const wordsFor = (schema: unknown, input: unknown): string | null => {
  const applied = apply(properties({ x: schema }), { x: input });
  return applied.ok ? null : applied.message;
};

// As text, since the linter takes `then` for a promise's.
const TENS_OR_FEW = JSON.parse('{"if":{"minimum":10},"then":{"multipleOf":10},"else":{"maximum":5}}');

describe('an input that does not fit is told which field and what to do', () => {
  test.each([
    [{ type: 'integer' }, 1.5, "'x' must be an integer"],
    [{ type: 'integer' }, '1', "'x' must be an integer"],
    [{ type: ['string', 'null'] }, 1, "'x' must be a string or null"],
    [{ type: 'object' }, [], "'x' must be an object"],
    [{ type: 'object' }, null, "'x' must be an object"],
    [{ type: 'array' }, {}, "'x' must be a list"],
    [{ type: 'boolean' }, 'true', "'x' must be true or false"],
    [{ type: 'string', nullable: true }, 1, "'x' must be a string"],
    [{ enum: ['a', 1, null] }, '1', `'x' must be one of "a", 1, null`],
    [{ enum: [{ a: [1] }] }, { a: [2] }, `'x' must be {"a":[1]}`],
    [{ const: 5 }, 6, "'x' must be 5"],
    [{ minimum: 1 }, 0, "'x' must be at least 1"],
    [{ maximum: 1 }, 2, "'x' must be at most 1"],
    [{ exclusiveMinimum: 1 }, 1, "'x' must be more than 1"],
    [{ exclusiveMaximum: 1 }, 1, "'x' must be less than 1"],
    [{ minimum: 1, exclusiveMinimum: true }, 1, "'x' must be more than 1"],
    [{ multipleOf: 0.01 }, 19.995, "'x' must be a multiple of 0.01"],
    [{ minLength: 2 }, '😀', "'x' must have at least 2 characters"],
    [{ maxLength: 1 }, 'ab', "'x' must have at most 1 character"],
    [{ pattern: '^\\d+$' }, '1a', `'x' must match the pattern "^\\\\d+$"`],
    [{ items: { type: 'string' } }, ['a', 1], "'x[1]' must be a string"],
    [{ prefixItems: [{ type: 'string' }], items: false }, ['a', 1], "'x[1]' is not allowed: leave it out"],
    [{ items: [{ type: 'string' }], additionalItems: { type: 'null' } }, ['a', 1], "'x[1]' must be null"],
    [{ minItems: 1 }, [], "'x' must have at least 1 item"],
    [{ maxItems: 1 }, [1, 2], "'x' must have at most 1 item"],
    [
      { uniqueItems: true },
      [{ a: 1, b: 2 }, 3, { b: 2, a: 1 }],
      "'x' must have no two equal items, but items 0 and 2 are equal",
    ],
    [
      { contains: { const: 1 } },
      [2],
      "'x' must contain at least 1 item of the wanted kind ('x[0]' must be 1)",
    ],
    [
      { contains: { const: 1 }, maxContains: 1 },
      [1, 1],
      "'x' must contain at most 1 item of the wanted kind",
    ],
    [{ required: ['a'] }, {}, "'x.a' is required"],
    [{ properties: { a: false } }, { a: 1 }, "'x.a' is not allowed: leave it out"],
    [
      { properties: { limit: {} }, additionalProperties: false },
      { limits: 1 },
      `'x.limits' is not a known field: leave it out (known: "limit")`,
    ],
    [{ additionalProperties: { type: 'string' } }, { 'a b': 1 }, `'x["a b"]' must be a string`],
    [{ patternProperties: { '^n_': { type: 'number' } } }, { n_a: 'b' }, "'x.n_a' must be a number"],
    [
      { propertyNames: { maxLength: 1 } },
      { ab: 1 },
      "'x.ab' is not an allowed name of a field: 'x.ab' must have at most 1 character",
    ],
    [{ minProperties: 1 }, {}, "'x' must have at least 1 field"],
    [{ maxProperties: 0 }, { a: 1 }, "'x' must have at most 0 fields"],
    [{ dependentRequired: { a: ['b'] } }, { a: 1 }, `'x.b' is required when "a" is given`],
    [{ dependencies: { a: ['b'] } }, { a: 1 }, `'x.b' is required when "a" is given`],
    [{ dependencies: { a: { required: ['b'] } } }, { a: 1 }, "'x.b' is required"],
    [{ dependentSchemas: { a: { required: ['b'] } } }, { a: 1 }, "'x.b' is required"],
    [{ allOf: [{ minimum: 1 }, { maximum: 3 }] }, 4, "'x' must be at most 3"],
    [{ not: { const: 1 } }, 1, `'x' must not fit {"const":1}`],
    [TENS_OR_FEW, 7, "'x' must be at most 5"],
    [TENS_OR_FEW, 17, "'x' must be a multiple of 10"],
    [
      { oneOf: [{ minimum: 1 }, { minimum: 2 }] },
      3,
      "'x' fits more than one of its alternatives, but must fit exactly one",
    ],
    [
      { anyOf: [{ const: 1 }, { const: 2 }] },
      3,
      "'x' fits none of 2 alternatives ('x' must be 1; 'x' must be 2)",
    ],
    [
      { anyOf: [{ type: 'object', required: ['a', 'b'] }, { type: 'null' }] },
      {},
      "'x.a' is required; 'x.b' is required",
    ],
    [false, 1, "'x' is not allowed: leave it out"],
  ])('%j refuses %j', (schema, input, words) => {
    expect(wordsFor(schema, input)).toBe(words);
  });

  test('the first three faults are told, and a long message is cut', () => {
    const fields = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, { type: 'null' }]));
    const told = apply(properties(fields), { a: 1, b: 1, c: 1, d: 1 });
    expect(told).toEqual({ ok: false, message: "'a' must be null; 'b' must be null; 'c' must be null" });

    const key = 'k'.repeat(50_000);
    const long = apply(properties({ [key]: { enum: [key] } }, { required: [key] }), { [key]: 1 });
    expect(long.ok ? 0 : long.message.length).toBeLessThanOrEqual(1_000);
    expect(long.ok ? 0 : long.message.length).toBeGreaterThan(10);
  });
});

describe('an input that fits', () => {
  test.each([
    [{ type: 'integer' }, 1.0],
    [{ type: 'number' }, 1],
    [{ type: 'string', nullable: true, enum: ['a'] }, null],
    [{ type: ['string', 'null'] }, null],
    [{ multipleOf: 0.01 }, 19.99],
    [{ minLength: 1, maxLength: 1 }, '😀'],
    [{ pattern: 'b' }, 'abc'],
    [{ format: 'email' }, 'no address'],
    [{ 'x-ours': 1, title: 't', unknown: [] }, 1],
    [{ minimum: 5, minLength: 5, minItems: 5, required: ['a'] }, true],
    [{ uniqueItems: true }, [1, '1', [1], true, null, { a: 1 }, { a: 2 }]],
    [{ items: [{ type: 'string' }] }, ['a', 1, 2]],
    [{ minContains: 5 }, []],
    [{ contains: { const: 1 }, minContains: 0 }, []],
    [JSON.parse('{"then":false,"else":false}'), 1],
    [true, 1],
  ])('%j accepts %j', (schema, input) => {
    expect(wordsFor(schema, input)).toBeNull();
  });

  test('a reference goes into the schema, and may come back to where it started', () => {
    const tree = {
      type: 'object',
      properties: { root: { $ref: '#/$defs/a~1b%25' } },
      $defs: {
        'a/b%': {
          type: 'object',
          required: ['name'],
          properties: {
            name: { type: 'string' },
            children: { type: 'array', items: { $ref: '#/$defs/a~1b%25' } },
          },
        },
      },
    };
    expect(checker.faultOf(tree)).toBeNull();
    expect(apply(tree, { root: { name: 'a', children: [{ name: 'b', children: [] }] } }).ok).toBe(true);
    expect(apply(tree, { root: { name: 'a', children: [{ name: 'b', children: [{}] }] } })).toEqual({
      ok: false,
      message: "'root.children[0].children[0].name' is required",
    });
  });

  test('a whole tool may be one reference, as zod-to-json-schema writes it', () => {
    const schema = { $ref: '#/definitions/In', definitions: { In: properties({ n: { type: 'integer' } }) } };
    expect(apply(schema, { n: 1 }).ok).toBe(true);
    expect(apply(schema, { n: 'a' })).toEqual({ ok: false, message: "'n' must be an integer" });
  });
});

describe('numbers that a double would round', () => {
  const words = (schema: string, input: string) => wordsFor(parseJson(schema), parseJson(input));

  test.each([
    ['{"type":"integer"}', '12345678901234567890'],
    ['{"type":"integer"}', '1.0'],
    ['{"type":"number"}', '0.12345678901234567890'],
    ['{"maximum":9223372036854775807}', '9223372036854775807'],
    ['{"minimum":1e-400}', '2e-400'],
    ['{"exclusiveMinimum":0}', '1e-400'],
    ['{"exclusiveMaximum":9007199254740993}', '9007199254740992'],
    ['{"multipleOf":10}', '12345678901234567890'],
    ['{"multipleOf":0.01}', '19.990'],
    ['{"multipleOf":0.010}', '19.99'],
    ['{"enum":[12345678901234567890,"a"]}', '12345678901234567890.0'],
    ['{"enum":[1]}', '1.0'],
    ['{"enum":[1e2]}', '100'],
    ['{"const":{"a":[1.10]}}', '{"a":[1.1]}'],
    ['{"uniqueItems":true}', '[9007199254740992,9007199254740993]'],
    ['{"anyOf":[{"type":"string"},{"type":"integer"}]}', '9007199254740993'],
    ['{"minLength":1.0}', '"a"'],
  ])('fit by their digits: %s takes %s', (schema, input) => {
    expect(words(schema, input)).toBeNull();
  });

  test.each([
    ['{"type":"integer"}', '12345678901234567890.5', "'x' must be an integer"],
    ['{"type":"object"}', '12345678901234567890', "'x' must be an object"],
    ['{"type":"string"}', '1.10', "'x' must be a string"],
    ['{"maximum":9223372036854775807}', '9223372036854775808', "'x' must be at most 9223372036854775807"],
    ['{"minimum":9007199254740993}', '9007199254740992', "'x' must be at least 9007199254740993"],
    ['{"exclusiveMaximum":0}', '1e-400', "'x' must be less than 0"],
    ['{"multipleOf":10}', '12345678901234567891', "'x' must be a multiple of 10"],
    ['{"enum":[9007199254740993]}', '9007199254740992', "'x' must be 9007199254740993"],
    ['{"const":1.10}', '1.11', "'x' must be 1.10"],
    ['{"uniqueItems":true}', '[1,1.0]', "'x' must have no two equal items, but items 0 and 1 are equal"],
  ])('do not fit by any digit: %s refuses %s', (schema, input, expected) => {
    expect(words(schema, input)).toBe(expected);
  });

  test('are kept in defaults', () => {
    const schema = properties({ x: { default: parseJson('12345678901234567890') } });
    const applied = apply(schema, {});
    expect(stringifyJson(applied)).toBe('{"ok":true,"value":{"x":12345678901234567890}}');
  });

  test('make schemas that differ', () => {
    const most = (digits: string) =>
      parseJson<Json>(`{"type":"object","properties":{"x":{"maximum":${digits}}}}`);
    const input = parseJson<Json>('{"x":9007199254740993}');
    expect(apply(most('9007199254740993'), input).ok).toBe(true);
    expect(apply(most('9007199254740992'), input).ok).toBe(false);
  });
});

describe('defaults', () => {
  test('fill in what is missing, at each depth, before anything is checked', () => {
    const schema = properties(
      {
        limit: { type: 'integer', default: 10 },
        page: { type: 'object', default: {}, properties: { size: { default: 5 } } },
        rows: { type: 'array', items: properties({ on: { default: true } }) },
      },
      { required: ['limit'] },
    );
    expect(apply(schema, { rows: [{}, { on: false }] })).toEqual({
      ok: true,
      value: { limit: 10, page: { size: 5 }, rows: [{ on: true }, { on: false }] },
    });
  });

  test('leave the arguments alone, and hand out a copy each time', () => {
    const schema = properties({ list: { default: [{ a: 1 }] }, deep: properties({ b: { default: 2 } }) });
    const input = { deep: {} };
    const before = structuredClone({ schema, input });
    const first = apply(schema, input);
    if (first.ok) (first.value.list as Json[])[0]!.a = 'changed';
    expect({ schema, input }).toEqual(before);
    expect(apply(schema, input)).toEqual({ ok: true, value: { list: [{ a: 1 }], deep: { b: 2 } } });
  });

  test('come from what a field refers to, and from an optional object of Python tools', () => {
    const schema = properties(
      {
        unit: { $ref: '#/$defs/Unit' },
        filter: { anyOf: [{ $ref: '#/$defs/Filter' }, { type: 'null' }], default: null },
      },
      { $defs: { Unit: { type: 'string', default: 'km' }, Filter: properties({ max: { default: 3 } }) } },
    );
    expect(apply(schema, {})).toEqual({ ok: true, value: { unit: 'km', filter: null } });
    expect(apply(schema, { filter: {} })).toEqual({ ok: true, value: { unit: 'km', filter: { max: 3 } } });
  });

  test('do not come from alternatives that are only tried', () => {
    const schema = properties(
      {},
      {
        anyOf: [{ properties: { a: { default: 1 } } }, { required: ['b'] }],
        not: properties({ c: { default: 1, const: 2 } }, { required: ['c'] }),
      },
    );
    expect(apply(schema, {})).toEqual({ ok: true, value: {} });
  });

  test('that their own schema refuses are left out, since the model could not mend them', () => {
    expect(apply(properties({ a: { type: 'string', default: null } }), {})).toEqual({ ok: true, value: {} });
  });

  test('that contain themselves are refused when the tool is registered', () => {
    const node = { type: 'object', properties: { next: { $ref: '#/$defs/N' } }, default: {} };
    const schema = properties({ n: { $ref: '#/$defs/N' } }, { $defs: { N: node } });
    expect(checker.faultOf(schema)).toEqual({
      path: [],
      message: 'has defaults that are too many, or that contain themselves',
    });
  });
});

describe('a schema that cannot be used is told where and why', () => {
  test.each([
    [null, [], /must be a JSON Schema object/],
    [true, [], /must be a JSON Schema object/],
    [[], [], /must be a JSON Schema object/],
    [{ type: 'string' }, ['type'], /must be 'object'/],
    [{ type: ['string', 'null'] }, ['type'], /must be 'object'/],
    [properties({ x: { type: 'strnig' } }), ['properties', 'x', 'type'], /must be one of string, integer/],
    [properties({ x: { type: { toString: 1 } } }), ['properties', 'x', 'type'], /must be one of/],
    [properties({ x: 'string' }), ['properties', 'x'], /must be a schema/],
    [{ properties: [] }, ['properties'], /must be an object/],
    [properties({ x: { required: true } }), ['properties', 'x', 'required'], /list of property names/],
    [properties({ x: { enum: 'a' } }), ['properties', 'x', 'enum'], /list of at least one value/],
    [properties({ x: { minimum: '1' } }), ['properties', 'x', 'minimum'], /must be a number/],
    [properties({ x: { minLength: -1 } }), ['properties', 'x', 'minLength'], /whole number/],
    [properties({ x: { multipleOf: 0 } }), ['properties', 'x', 'multipleOf'], /more than 0/],
    [properties({ x: { items: [1] } }), ['properties', 'x', 'items', 0], /must be a schema/],
    [properties({ x: { anyOf: [] } }), ['properties', 'x', 'anyOf'], /at least one schema/],
    [{ $defs: { A: { items: { type: 1 } } } }, ['$defs', 'A', 'items', 'type'], /must be one of/],
    [properties({ x: { pattern: '(a)\\1' } }), ['properties', 'x', 'pattern'], /linear time/],
    [properties({ x: { pattern: '(' } }), ['properties', 'x', 'pattern'], /no regular expression/],
    [
      properties({ x: { patternProperties: { '(b)\\1': {} } } }),
      ['properties', 'x', 'patternProperties', '(b)\\1'],
      /linear time/,
    ],
    [
      properties({ x: { $ref: 'https://example.com/s.json' } }),
      ['properties', 'x', '$ref'],
      /must point into this schema/,
    ],
    [properties({ x: { $ref: '#/$defs/A' } }), ['properties', 'x', '$ref'], /points to nothing/],
    [properties({ x: { $ref: '#/__proto__' } }), ['properties', 'x', '$ref'], /points to nothing/],
    [properties({ x: { $ref: '#/properties/x/$ref' } }), ['properties', 'x', '$ref'], /must be a schema/],
    [properties({ x: { $dynamicRef: '#a' } }), ['properties', 'x', '$dynamicRef'], /not supported/],
    [
      properties({ x: { allOf: [{ properties: { a: {} } }], unevaluatedProperties: false } }),
      ['properties', 'x', 'unevaluatedProperties'],
      /not supported: use 'additionalProperties'/,
    ],
    [
      properties({ x: { unevaluatedItems: { type: 'string' } } }),
      ['properties', 'x', 'unevaluatedItems'],
      /not supported: use 'items'/,
    ],
    [{ $ref: '#' }, [], /refers to itself/],
    [
      properties(
        { x: { allOf: [{ $ref: '#/$defs/A' }] } },
        { $defs: { A: { anyOf: [{ not: { $ref: '#/$defs/A' } }] } } },
      ),
      ['$defs', 'A'],
      /refers to itself/,
    ],
  ])('%j', (schema, path, message) => {
    const fault = checker.faultOf(schema);
    expect(fault?.message).toMatch(message);
    expect(fault?.path).toEqual(path);
  });

  test('what forbids nothing is no reason', () => {
    const schema = properties({ x: { unevaluatedProperties: true, unevaluatedItems: true } });
    expect(checker.faultOf(schema)).toBeNull();
  });

  test('an unchecked schema never makes a check throw', () => {
    expect(apply({ type: 'string' }, {})).toEqual({
      ok: false,
      message: expect.stringMatching(/no valid schema/),
    });
  });
});

test('keys that are a prototype in JavaScript are fields like any other', () => {
  const schema = JSON.parse(
    '{"type":"object","required":["constructor"],"properties":{"__proto__":{"type":"string","default":"d"},"toString":{"type":"null"}}}',
  );
  expect(apply(schema, {})).toEqual({ ok: false, message: "'constructor' is required" });
  expect(apply(schema, JSON.parse('{"constructor":1,"__proto__":1}'))).toEqual({
    ok: false,
    message: "'__proto__' must be a string",
  });
  const filled = apply(schema, { constructor: 1 });
  expect(JSON.stringify(filled)).toBe('{"ok":true,"value":{"constructor":1,"__proto__":"d"}}');
  if (filled.ok) expect(Object.getPrototypeOf(filled.value)).toBe(Object.prototype);
});
