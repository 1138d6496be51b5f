// A tool's schema as the Messages API takes it, and the model's input back with the tool's own names.
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { createSchemaChecker } from '../../src/tools/json-schema/checker.ts';

type Json = Record<string, any>;

const checker = createSchemaChecker();

function wireOf(schema: Json): Json {
  expect(checker.faultOf(schema)).toBeNull();
  const { inputSchema } = checker.wireOf(schema);
  expect(refusalOf(inputSchema)).toBeNull();
  return inputSchema;
}

const NAME = /^[a-zA-Z0-9_.-]{1,64}$/;
const ajv = new Ajv2020({ strict: false, validateFormats: false, unicodeRegExp: false });

/** Why the Messages API would refuse a schema; null when it takes it. */
function refusalOf(schema: Json): string | null {
  if (schema.type !== 'object') return 'the type at the root';
  for (const keyword of ['anyOf', 'oneOf', 'allOf', '$ref'])
    if (keyword in schema) return `${keyword} at the root`;
  if (!ajv.validateSchema(schema)) return ajv.errorsText();
  return badName(schema) ?? null;
}

const VALUES = ['enum', 'const', 'default', 'examples'];
const MAPS = ['properties', 'patternProperties', '$defs', 'dependentSchemas'];

/** The first name of a property, at any level, that the API refuses. */
function badName(schema: unknown): string | undefined {
  if (Array.isArray(schema)) return schema.map(badName).find((name) => name !== undefined);
  if (typeof schema !== 'object' || schema === null) return undefined;
  const below = Object.entries(schema).filter(([keyword]) => !VALUES.includes(keyword));
  const names = Object.keys((schema as Json).properties ?? {});
  return (
    names.find((name) => !NAME.test(name)) ??
    badName(below.flatMap(([keyword, value]) => (MAPS.includes(keyword) ? Object.values(value) : [value])))
  );
}

/** The input with the names of the tool, checked. */
function applied(schema: Json, input: Json): Json {
  const answer = checker.applyWire(schema, input);
  if (!answer.ok) throw new Error(answer.message);
  return answer.value;
}

describe('a schema that the API takes stays as it is', () => {
  test.each<[Json]>([
    [{ type: 'object', properties: {} }],
    [
      {
        type: 'object',
        description: 'An order',
        properties: {
          id: { type: 'string', pattern: '^o_', description: 'Its id' },
          lines: { type: 'array', items: { $ref: '#/$defs/Line' }, minItems: 1 },
          how: { anyOf: [{ const: 'mail' }, { type: 'null' }], default: null },
          other: { type: 'object', additionalProperties: { type: 'string' } },
        },
        required: ['id'],
        additionalProperties: false,
        $defs: { Line: { type: 'object', properties: { next: { $ref: '#/$defs/Line' } } } },
      },
    ],
  ])('%j', (schema) => expect(wireOf(schema)).toEqual(schema));
});

describe('the root is one object', () => {
  test('without a type, or with one that may be null', () => {
    expect(wireOf({})).toEqual({ type: 'object', properties: {} });
    expect(wireOf({ type: ['object', 'null'], properties: { a: {} } })).toEqual({
      type: 'object',
      properties: { a: {} },
    });
  });

  test.each(['anyOf', 'oneOf'])(
    '%s: the fields of all alternatives, required is what all require',
    (keyword) => {
      const schema = {
        type: 'object',
        description: 'Find a user',
        [keyword]: [
          { properties: { id: { type: 'string' }, at: { type: 'string' } }, required: ['id', 'at'] },
          {
            type: 'object',
            properties: { mail: { type: 'string' }, at: { type: 'number' } },
            required: ['at', 'mail'],
          },
          { type: 'string' },
        ],
      };
      expect(wireOf(schema)).toEqual({
        type: 'object',
        description: 'Find a user\nRequired fields, one of these alternatives: id, at; or at, mail.',
        properties: {
          id: { type: 'string' },
          at: { anyOf: [{ type: 'string' }, { type: 'number' }] },
          mail: { type: 'string' },
        },
        required: ['at'],
      });
      expect(applied(schema, { id: 'u', at: 'noon' })).toEqual({ id: 'u', at: 'noon' });
      expect(() => applied(schema, { mail: 'm', at: 'noon' })).toThrow(/fits none/);
    },
  );

  test('allOf: the fields and requirements of all', () => {
    const schema = {
      allOf: [
        { $ref: '#/definitions/Base' },
        { properties: { b: { type: 'string' } }, required: ['b', 'a'] },
      ],
      definitions: {
        Base: { type: 'object', properties: { a: { type: 'integer' }, b: {} }, required: ['a'] },
      },
    };
    expect(wireOf(schema)).toEqual({
      type: 'object',
      properties: { a: { type: 'integer' }, b: { type: 'string' } },
      required: ['a', 'b'],
    });
  });

  test('$ref, as zod-to-json-schema and Pydantic write it', () => {
    const Node = { type: 'object', properties: { next: { $ref: '#/definitions/Node' } }, required: ['next'] };
    const schema = {
      $ref: '#/definitions/Node',
      definitions: { Node },
      $schema: 'http://json-schema.org/draft-07/schema#',
    };
    expect(wireOf(schema)).toEqual({
      type: 'object',
      properties: { next: { $ref: '#/$defs/Node' } },
      required: ['next'],
      $defs: { Node: { type: 'object', properties: { next: { $ref: '#/$defs/Node' } }, required: ['next'] } },
    });
  });

  test('that contains itself', () => {
    const schema = { properties: { child: { $ref: '#' } }, anyOf: [{ required: ['child'] }, {}] };
    expect(wireOf(schema)).toMatchObject({ properties: { child: { $ref: '#/$defs/root' } } });
  });

  test.each([
    [{ anyOf: [{ type: 'string' }, { type: 'array' }] }, ['anyOf']],
    [{ oneOf: [false] }, ['oneOf']],
  ])('%j is refused: no alternative is an object', (schema, path) => {
    expect(checker.faultOf(schema)).toEqual({
      path,
      message: 'has no alternative that is an object, as the input of a tool is',
    });
  });

  test('that doubles at each level ends soon', () => {
    const level = (n: number) => ({
      anyOf: [
        { $ref: `#/$defs/L${n + 1}` },
        { allOf: [{ $ref: `#/$defs/L${n + 1}` }, { properties: { p: { title: `${n}` } } }] },
      ],
    });
    const levels = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`L${n}`, level(n)]));
    const fault = checker.faultOf({
      $ref: '#/$defs/L0',
      $defs: { ...levels, L30: { properties: { p: {} } } },
    });
    expect(fault?.message ?? 'taken').toMatch(/taken|too complex|more schemas/);
  });
});

describe('names that the API refuses', () => {
  const long = 'x'.repeat(70);
  const schema = {
    type: 'object',
    properties: {
      $top: { type: 'integer' },
      'filter[id]': { type: 'string' },
      filter_id_: { type: 'string' },
      [long]: { type: 'string' },
      größe: { type: 'object', properties: { 'a b': { $ref: '#/definitions/a b' } }, required: ['a b'] },
      '': { type: 'array', items: { type: 'object', properties: { $top: { type: 'boolean' } } } },
      free: { type: 'object' },
    },
    required: ['$top', 'filter[id]'],
    dependentRequired: { $top: [long] },
    definitions: { 'a b': { type: 'object', properties: { 'c/d': {} }, default: { 'c/d': 1 } } },
  };
  const input = {
    $top: 5,
    'filter[id]': 'f',
    filter_id_: 'g',
    [long]: 'l',
    größe: { 'a b': { 'c/d': 1 } },
    '': [{ $top: true }, { other: 1 }],
    free: { _top: 'mine', a_b: 1, $top: 2 },
  };
  const wireInput = {
    _top: 5,
    filter_id__2: 'f',
    filter_id_: 'g',
    [long.slice(0, 64)]: 'l',
    gr__e: { a_b: { c_d: 1 } },
    _: [{ _top: true }, { other: 1 }],
    free: { _top: 'mine', a_b: 1, $top: 2 },
  };

  test('are others on the wire, at every level', () => {
    const wire = wireOf(schema);
    expect(Object.keys(wire.properties)).toEqual(Object.keys(wireInput));
    expect(wire.required).toEqual(['_top', 'filter_id__2']);
    expect(wire.dependentRequired).toEqual({ _top: [long.slice(0, 64)] });
    expect(wire.$defs).toEqual({ a_b: { type: 'object', properties: { c_d: {} }, default: { c_d: 1 } } });
  });

  test('come back in the input, which is checked with its own names', () => {
    expect(applied(schema, wireInput)).toEqual(input);
    expect(() => applied(schema, { _top: 'x', filter_id__2: 'f' })).toThrow('$top');
  });

  test('in alternatives, conditions and patterns', () => {
    const combined = {
      oneOf: [
        {
          properties: { '@type': { const: 'a' }, 'x y': { type: 'object', properties: { $a: {} } } },
          required: ['@type'],
        },
        {
          properties: { '@type': { const: 'b' } },
          required: ['@type'],
          patternProperties: { '^n': { properties: { $n: {} } } },
        },
      ],
    };
    const wire = wireOf(combined);
    expect(wire).toMatchObject({ required: ['_type'], properties: { x_y: { properties: { _a: {} } } } });
    expect(applied(combined, { _type: 'a', x_y: { _a: 1 } })).toEqual({ '@type': 'a', 'x y': { $a: 1 } });
    expect(applied(combined, { _type: 'b', n1: { _n: 1 } })).toEqual({ '@type': 'b', n1: { $n: 1 } });
  });

  test('that are special to JavaScript', () => {
    const odd = JSON.parse('{"properties":{"__proto__":{"type":"string"},"constructor ":{"type":"string"}}}');
    expect(Object.keys(wireOf(odd).properties)).toEqual(['__proto__', 'constructor_']);
    const back = applied(odd, JSON.parse('{"__proto__":"a","constructor_":"b"}'));
    expect(JSON.stringify(back)).toBe('{"__proto__":"a","constructor ":"b"}');
  });
});

describe('older drafts and OpenAPI 3.0 become draft 2020-12', () => {
  const field = (schema: unknown): unknown =>
    wireOf({ type: 'object', properties: { x: schema } }).properties.x;

  test.each<[unknown, unknown]>([
    [
      { type: 'array', items: [{ type: 'string' }, true], additionalItems: false },
      { type: 'array', prefixItems: [{ type: 'string' }, true], items: false },
    ],
    [{ items: { type: 'string' }, additionalItems: false }, { items: { type: 'string' } }],
    [{ items: [], additionalItems: { type: 'null' } }, { items: { type: 'null' } }],
    [
      { type: 'string', nullable: true, enum: ['a'] },
      { type: ['string', 'null'], enum: ['a', null] },
    ],
    [
      { nullable: true, allOf: [{ type: 'string' }], description: 'A text' },
      { description: 'A text', anyOf: [{ allOf: [{ type: 'string' }] }, { type: 'null' }] },
    ],
    [{ type: 'string', nullable: false }, { type: 'string' }],
    [{ minimum: 1, exclusiveMinimum: true }, { exclusiveMinimum: 1 }],
    [{ maximum: 1, exclusiveMaximum: false }, { maximum: 1 }],
    [
      { type: 'string', example: 'a' },
      { type: 'string', examples: ['a'] },
    ],
    [{ type: 'string', examples: { one: { value: 'a' } } }, { type: 'string' }],
    [{ id: '#old', $id: 'x', $schema: 'x', $comment: 'x', $anchor: 'x', type: 'string' }, { type: 'string' }],
    [
      {
        type: 'object',
        discriminator: { propertyName: 'k' },
        xml: { name: 'x' },
        externalDocs: {},
        'x-order': 1,
      },
      { type: 'object' },
    ],
    [{ title: null, description: 5, format: 'date', deprecated: 'no' }, { format: 'date' }],
    [{ type: ['string', 'null', 'string'] }, { type: ['string', 'null'] }],
    [
      { dependencies: { a: ['b', 'b'], c: { required: ['d'] } } },
      { dependentRequired: { a: ['b'] }, dependentSchemas: { c: { required: ['d'] } } },
    ],
    [{ required: ['a', 'a'] }, { required: ['a'] }],
    [true, true],
    [false, false],
  ])('%j', (schema, expected) => expect(field(schema)).toEqual(expected));

  test('references go on pointing to their schema', () => {
    const schema = {
      properties: {
        pair: { items: [{ type: 'string' }, { $ref: '#/properties/pair/items/0' }] },
        'a/b': { $ref: '#/components/schemas/Pet' },
        n: { $ref: '#/definitions/Pet' },
        m: { $ref: '#/properties/a~1b' },
      },
      components: { schemas: { Pet: { type: 'object', nullable: true } } },
      definitions: { Pet: { type: 'integer' } },
    };
    const wire = wireOf(schema);
    const at = (name: string): unknown => {
      const found = wire.properties[name];
      return found.$ref ? wire.$defs[found.$ref.replace('#/$defs/', '')] : found;
    };
    expect(at('n')).toEqual({ type: 'integer' });
    expect(at('a_b')).toEqual({ type: ['object', 'null'] });
    expect(at('m')).toEqual({ $ref: wire.properties.a_b.$ref });
    expect(wire.$defs['0']).toEqual({ type: 'string' });
  });
});

describe('for any schema that is taken', () => {
  const name = fc.oneof(
    fc.constantFrom(
      'a',
      'b',
      'id',
      '$top',
      'filter[id]',
      'filter_id_',
      '',
      'é',
      '__proto__',
      'a b',
      'a_b',
      'x'.repeat(70),
    ),
    fc.string({ maxLength: 5 }),
  );
  const { schema } = fc.letrec<{ schema: Json; object: Json; branch: Json }>((tie) => ({
    branch: fc.oneof({ maxDepth: 3, depthIdentifier: 'schema' }, fc.constant({}), tie('object')),
    object: fc.record(
      {
        type: fc.constantFrom('object', undefined),
        properties: fc.dictionary(name, tie('schema'), { maxKeys: 4 }),
        required: fc.array(name, { maxLength: 2 }),
        additionalProperties: fc.oneof(fc.boolean(), tie('schema')),
        anyOf: fc.array(tie('branch'), { minLength: 1, maxLength: 3 }),
        oneOf: fc.array(tie('branch'), { minLength: 1, maxLength: 3 }),
        allOf: fc.array(tie('branch'), { minLength: 1, maxLength: 3 }),
        nullable: fc.boolean(),
        example: fc.jsonValue(),
        default: fc.dictionary(name, fc.integer(), { maxKeys: 2 }),
        dependencies: fc.dictionary(name, fc.array(name, { maxLength: 2 }), { maxKeys: 1 }),
      },
      { requiredKeys: [] },
    ),
    schema: fc.oneof(
      { maxDepth: 3, depthIdentifier: 'schema' },
      fc.constantFrom<Json>({ type: 'string' }, {}, { minimum: 1, exclusiveMinimum: true }, { $ref: '#' }),
      tie('object'),
      fc.record({ items: fc.array(tie('schema'), { maxLength: 2 }), additionalItems: fc.boolean() }),
      fc.record({ type: fc.constant('array'), items: tie('schema') }),
      fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }), nullable: fc.boolean() }),
    ),
  }));
  const root = schema.map((given): Json => {
    const plain = JSON.parse(JSON.stringify(given));
    return plain.type === undefined || plain.type === 'object' ? plain : { properties: { list: plain } };
  });

  test('the API takes what it becomes', () => {
    fc.assert(
      fc.property(root, (given) => {
        const before = JSON.stringify(given);
        if (checker.faultOf(given) === null) expect(refusalOf(checker.wireOf(given).inputSchema)).toBeNull();
        expect(JSON.stringify(given)).toBe(before);
      }),
      { numRuns: 1_000 },
    );
  });

  test('each field at the root comes back with its own name', () => {
    fc.assert(
      fc.property(fc.dictionary(name, fc.constant({}), { minKeys: 1, maxKeys: 8 }), (fields) => {
        const given = { type: 'object', properties: { deep: { type: 'object', properties: fields } } };
        const names = Object.keys(wireOf(given).properties.deep.properties);
        const input = { deep: Object.fromEntries(names.map((each, index) => [each, index])) };
        expect(Object.entries(applied(given, input).deep)).toEqual(
          Object.keys(fields).map((each, index) => [each, index]),
        );
      }),
      { numRuns: 500 },
    );
  });
});
