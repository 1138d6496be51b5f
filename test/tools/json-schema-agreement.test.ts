// The checker beside Ajv, and rules that hold for every schema and input. Ajv compiles schemas to code, so it is in tests only.
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { createSchemaChecker } from '../../src/tools/json-schema/checker.ts';
import { isLong } from '../support/long.ts';

type Json = Record<string, unknown>;

const RUNS = isLong ? 3_000 : 120;
if (isLong) jest.setTimeout(600_000);

const key = fc.constantFrom('a', 'b', 'ab', 'c');
const text = fc.constantFrom('', 'a', 'b', 'ab', 'abc', '1', '😀');
const small = fc.integer({ min: -1, max: 3 });
const size = fc.integer({ min: 0, max: 3 });
const type = fc.constantFrom('string', 'integer', 'number', 'boolean', 'object', 'array', 'null');
const pattern = fc.constantFrom('^a', 'b$', '^[a-c]+$', '\\d', '^.?$', '(a|b)c');

const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    fc.oneof(text, small, fc.constantFrom(null, true, false, 0.5)),
    fc.array(tie('value'), { maxLength: 3 }),
    // Ajv takes objects without a prototype for different ones.
    fc.dictionary(key, tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
}));

/** Keywords of which each value is well formed; a few at a time, so that inputs have a chance to fit. */
function schemas(more: Record<string, fc.Arbitrary<unknown>> = {}) {
  return fc.letrec<{ schema: unknown; object: Json }>((tie) => {
    const schema = tie('schema');
    const list = fc.array(schema, { minLength: 1, maxLength: 3 });
    const map = fc.dictionary(key, schema, { maxKeys: 3 });
    const names = fc.uniqueArray(key, { maxLength: 2 });
    const keywords: Record<string, fc.Arbitrary<unknown>> = {
      type: fc.oneof(type, fc.uniqueArray(type, { minLength: 1, maxLength: 3 })),
      enum: fc.array(value, { minLength: 1, maxLength: 4 }),
      const: value,
      minimum: small,
      maximum: small,
      exclusiveMinimum: small,
      exclusiveMaximum: small,
      multipleOf: fc.constantFrom(1, 2, 0.5),
      minLength: size,
      maxLength: size,
      pattern,
      items: schema,
      prefixItems: list,
      minItems: size,
      maxItems: size,
      uniqueItems: fc.boolean(),
      properties: map,
      patternProperties: fc.dictionary(pattern, schema, { maxKeys: 2 }),
      additionalProperties: schema,
      propertyNames: schema,
      required: names,
      minProperties: size,
      maxProperties: size,
      dependentRequired: fc.dictionary(key, names, { maxKeys: 2 }),
      dependentSchemas: map,
      allOf: list,
      anyOf: list,
      oneOf: list,
      not: schema,
      if: schema,
      // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema.
      then: schema,
      else: schema,
      $ref: fc.constantFrom('#/$defs/leaf', '#/$defs/tree'),
      ...more,
    };
    const some = fc
      .subarray(Object.keys(keywords), { minLength: 1, maxLength: 4 })
      .chain((chosen) => fc.record(Object.fromEntries(chosen.map((name) => [name, keywords[name]!]))));
    return {
      schema: fc.oneof(
        { maxDepth: 3, depthSize: 'small' },
        fc.oneof(fc.boolean(), fc.record({ type })),
        some,
      ),
      object: some as fc.Arbitrary<Json>,
    };
  }).object;
}

const DEFS = {
  leaf: { type: ['string', 'integer'], default: 'a' },
  tree: { properties: { a: { $ref: '#/$defs/tree' }, b: { default: 1 } }, maxProperties: 2 },
};
/** `x` takes any type; a root that is an object takes what only objects have. */
const tool = (schema: unknown): Json => ({ type: 'object', properties: { x: schema }, $defs: DEFS });

test('an input fits exactly when Ajv says so', () => {
  let fitting = 0;
  let refused = 0;
  fc.assert(
    fc.property(schemas(), fc.array(value, { minLength: 6, maxLength: 6 }), (schema, values) => {
      const checker = createSchemaChecker();
      // Filling in is another matter: Ajv has other rules for which defaults hold.
      const plain = JSON.parse(JSON.stringify(tool(schema)), (name, item) =>
        name === 'default' ? undefined : item,
      );
      const validate = new Ajv2020({ strict: false }).compile(plain);
      expect(checker.faultOf(plain)).toBeNull();
      for (const x of values) {
        const expected = validate({ x });
        const applied = checker.apply(plain, { x });
        expect({ ...applied, schema, x, ok: applied.ok }).toMatchObject({ ok: expected });
        if (expected) fitting += 1;
        else refused += 1;
      }
    }),
    { numRuns: RUNS },
  );
  // Else the generators would show nothing.
  expect(Math.min(fitting, refused)).toBeGreaterThan(RUNS / 2);
});

// Apart, since Ajv forgets `contains` beside `prefixItems`: it accepts [[]] for prefixItems [true, false] and contains a string.
test('a list contains as many items as Ajv says fit, one by one', () => {
  fc.assert(
    fc.property(
      schemas(),
      size,
      size,
      fc.array(value, { maxLength: 4 }),
      (schema, minContains, maxContains, x) => {
        const contains = JSON.parse(JSON.stringify(schema));
        const validate = new Ajv2020({ strict: false }).compile({ ...contains, $defs: DEFS });
        const count = x.filter((item) => validate(item)).length;
        const applied = createSchemaChecker().apply(tool({ contains, minContains, maxContains }), { x });
        expect({ contains, x, ok: applied.ok }).toMatchObject({
          ok: count >= minContains && count <= maxContains,
        });
      },
    ),
    { numRuns: RUNS },
  );
});

test('filling in defaults a second time changes nothing, and arguments stay as they are', () => {
  let filled = 0;
  fc.assert(
    fc.property(schemas({ default: value }), value, (schema, x) => {
      const checker = createSchemaChecker();
      const given = { schema: tool(schema), input: { x } };
      const before = structuredClone(given);
      const once = checker.apply(given.schema, given.input);
      expect(given).toEqual(before);
      if (!once.ok) return;
      if (JSON.stringify(once.value) !== JSON.stringify(given.input)) filled += 1;
      expect(checker.apply(given.schema, once.value)).toEqual(once);
    }),
    // One and the same in the short form: few of these schemas fill anything in, and some must.
    { numRuns: RUNS * 5, ...(isLong ? {} : { seed: 4 }) },
  );
  expect(filled).toBeGreaterThan(0);
});

test('no JSON makes it throw, neither as a schema nor as an input', () => {
  const names = [
    'type',
    'enum',
    'const',
    'properties',
    'required',
    'items',
    'prefixItems',
    'pattern',
    'default',
    '$ref',
    'anyOf',
  ];
  const more = [
    'oneOf',
    'allOf',
    'not',
    'if',
    'then',
    'dependencies',
    'patternProperties',
    '$defs',
    'minimum',
    '__proto__',
  ];
  const { junk } = fc.letrec<{ junk: unknown }>((tie) => ({
    junk: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      fc.oneof(
        fc.jsonValue({ maxDepth: 1 }),
        fc.constantFrom('object', '#', '#/properties/a', '(a+)+$', 'a{1000}'),
      ),
      fc.array(tie('junk'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names, ...more, 'a'), tie('junk'), { maxKeys: 4 }),
    ),
  }));
  const checker = createSchemaChecker();
  fc.assert(
    fc.property(fc.oneof(junk, fc.jsonValue()), fc.oneof(junk, fc.jsonValue()), (schema, input) => {
      const fault = checker.faultOf(schema);
      if (fault) expect(fault.message).not.toBe('');
      // Sessions hold schemas as JSON.
      const applied = checker.apply(JSON.stringify(schema), input as Json);
      if (!applied.ok) expect(applied.message).not.toBe('');
    }),
    { numRuns: RUNS * 5 },
  );
});
