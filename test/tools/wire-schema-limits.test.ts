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
