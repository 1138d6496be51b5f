// Schemas as other generators write them, one a line with an input that fits and one that does not: what is taken is taken by the
// model, too, and a call comes back with the tool's own names.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parseJson, stringifyJson } from '../../src/contracts/json.ts';
import { checkTools } from '../../src/models/simulator/rules/tools.ts';
import { createSchemaChecker } from '../../src/tools/json-schema/checker.ts';
import { targetOf } from '../../src/tools/json-schema/compile.ts';
import { startRun } from '../../src/tools/json-schema/run.ts';
import { namesOf } from '../../src/tools/wire-schema/names.ts';
import { renamed } from '../../src/tools/wire-schema/rename.ts';

type Json = Record<string, any>;

interface Case {
  name: string;
  schema: Json;
  fitting: Json;
  refused?: Json;
}

const lines = readFileSync(join(__dirname, 'foreign-schemas.jsonl'), 'utf8').trim().split('\n');
const cases = lines.map((line) => parseJson<Case>(line));
const checker = createSchemaChecker();
const ajv = new Ajv2020({ strict: false, validateFormats: false });

/** An input as a model writes it, with the names of the wire. */
function toWire(schema: Json, input: Json): Json {
  const resolve = (reference: string) => targetOf(schema, reference, []).schema as Json;
  const renaming = { names: namesOf(schema, resolve), resolve, direction: 'to wire' as const };
  return renamed(input, [schema], renaming, startRun(1)) as Json;
}

test.each(cases)('$name', ({ schema, fitting, refused }) => {
  expect(checker.faultOf(schema)).toBeNull();
  const { inputSchema } = checker.wireOf(schema);
  const sent = JSON.parse(stringifyJson(inputSchema));
  expect(() => checkTools([{ name: 'tool', description: 'A tool', input_schema: sent }])).not.toThrow();
  const wire = toWire(schema, fitting);
  expect(ajv.validate(sent, JSON.parse(stringifyJson(wire))) || ajv.errorsText()).toBe(true);
  const back = checker.applyWire(schema, wire);
  expect(back).toMatchObject({ ok: true });
  expect(parseJson(stringifyJson(back.value))).toMatchObject(fitting);
  const other = refused && checker.applyWire(schema, toWire(schema, refused));
  expect(other?.ok ?? false).toBe(false);
});
