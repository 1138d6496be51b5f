// How much a schema may grow when it is translated for the model.
import { createSchemaChecker } from '../../src/tools/json-schema/checker.ts';

type Json = Record<string, any>;

const checker = createSchemaChecker();

describe('the wire stays in proportion to the schema', () => {
  const fault = (schema: Json) => checker.faultOf(schema)?.message;

  test('when alternatives repeat a large schema', () => {
    const large = {
      allOf: [{ properties: { x: { enum: [...Array(5_000).keys()] } } }, { properties: { x: {} } }],
    };
    const anyOf = Array.from({ length: 900 }, () => ({ $ref: '#/$defs/A' }));
    expect(fault({ type: 'object', anyOf, $defs: { A: large } })).toMatch(/too complex to be shown/);
  });

  test('names that differ beyond what the API takes are numbered in linear time', () => {
    const names = Array.from({ length: 800 }, (_, index) => 'n'.repeat(70) + index);
    const properties = Object.fromEntries(names.map((name) => [name, {}]));
    const wire = Object.keys(checker.wireOf({ type: 'object', properties }).inputSchema.properties as Json);
    expect(new Set(wire).size).toBe(names.length);
  });
});

describe('what one session may hold is translated once', () => {
  /** A session's tools have 40,000 schemas or 400,000 values together, and 4 MiB. */
  const TOOLS = 128;
  const fields = (make: (index: number) => [string, unknown]) =>
    Object.fromEntries(Array.from({ length: 311 }, (_, index) => make(index)));

  test.each<[string, (index: number) => Json]>([
    ['renamed fields', (n) => ({ title: `${n}`, properties: fields((index) => [`$${index}`, {}]) })],
    [
      'long words',
      (n) => ({ properties: fields((index) => [`f${index}`, { description: 'd'.repeat(70) + n }]) }),
    ],
    ['many values', (n) => ({ title: `${n}`, properties: { x: { enum: [...Array(3_100).keys()] } } })],
    ['one long text', (n) => ({ $comment: 'x'.repeat(32_000) + n })],
  ])('%s', (_name, make) => {
    const fresh = createSchemaChecker();
    const texts = Array.from({ length: TOOLS }, (_, index) => JSON.stringify(make(index)));
    const first = texts.map((text) => fresh.wireOf(text));
    expect(texts.every((text, index) => fresh.wireOf(text) === first[index])).toBe(true);
    expect(new Set(first).size).toBe(TOOLS);
  });
});
