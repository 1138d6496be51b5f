// JSON Schema for tools that users define: whether a schema can be used, and whether an input fits it. Draft 2020-12 and draft 7
// as tools in the field use them. Our own, since no library has all of: no code generation, linear-time patterns, defaults, and
// a bound on the work that schema and input can ask for together.
import { toWireSchema, type WireSchema } from '../wire-schema/wire-schema.ts';
import { createCache } from './cache.ts';
import { check } from './check.ts';
import { type CompiledSchema, compileSchema } from './compile.ts';
import { withDefaults } from './defaults.ts';
import { isObject } from './json.ts';
import { BYTES_PER_CHARACTER, FAULTS_MAX } from './limits.ts';
import { textOf } from './measure.ts';
import { SchemaFault } from './place.ts';
import { startRun, TooComplexError } from './run.ts';
import { sentenceOf } from './words.ts';

/** The schema itself, and as the model is shown it. */
const COPIES = 2;

type Applied = { ok: true; value: Record<string, unknown> } | { ok: false; message: string };

const TOO_COMPLEX =
  'the input is too complex to be checked against the parameters of this tool: send less at once, or less deeply nested';

/** A schema that can be used: to check inputs with, and as the model is shown it. */
interface Usable extends CompiledSchema {
  wire: WireSchema;
}

/** For a tool that an older version took although its schema can't be shown: its inputs are checked all the same. */
const ANY_INPUT: WireSchema = { inputSchema: { type: 'object', properties: {} }, fromWire: (input) => input };

export type SchemaChecker = ReturnType<typeof createSchemaChecker>;

export function createSchemaChecker() {
  const cache = createCache<Usable>();

  function compiled(given: unknown): Usable {
    const { schema, text } = textOf(given);
    const known = cache.get(text);
    if (known) return known;
    const made = compileSchema(schema);
    if (!defaultsEnd(made))
      throw new SchemaFault([], 'has defaults that are too many, or that contain themselves');
    const usable = { ...made, wire: toWireSchema(schema) };
    cache.set(text, usable, text.length * BYTES_PER_CHARACTER * COPIES + made.bytes);
    return usable;
  }

  const apply = (schema: Record<string, unknown>, input: Record<string, unknown>): Applied =>
    answered(() => applied(compiled(schema), input));

  return {
    /** Why a schema cannot be a tool's `parameters`, as the path to what is wrong in it and words, or null. */
    faultOf(schema: unknown): { path: (string | number)[]; message: string } | null {
      try {
        compiled(schema);
        return null;
      } catch (error) {
        if (error instanceof SchemaFault) return { path: error.path, message: sentenceOf([error.message]) };
        throw error;
      }
    },

    /** The schema as requests carry it. */
    wireOf(schema: Record<string, unknown>): WireSchema {
      try {
        return compiled(schema).wire;
      } catch (error) {
        if (error instanceof SchemaFault) return ANY_INPUT;
        throw error;
      }
    },

    /**
     * The input with defaults filled in, or why it does not fit. Neither argument is changed; what needs no default is shared
     * with the input. The work is bounded by steps, so the same call always has the same answer.
     */
    apply,

    /** The same for an input with the names that the model was shown. */
    applyWire: (schema: Record<string, unknown>, input: Record<string, unknown>): Applied =>
      answered(() => applied(compiled(schema), compiled(schema).wire.fromWire(input))),
  };
}

function answered(work: () => Applied): Applied {
  try {
    return work();
  } catch (error) {
    if (error instanceof TooComplexError) return { ok: false, message: TOO_COMPLEX };
    if (error instanceof SchemaFault)
      return {
        ok: false,
        message: sentenceOf([`the parameters of this tool are no valid schema: ${error.message}`]),
      };
    throw error;
  }
}

/** `default: {}` for a field of a schema within itself asks for one more level for ever. */
function defaultsEnd({ root }: CompiledSchema): boolean {
  try {
    withDefaults([root], {}, startRun(1));
    return true;
  } catch (error) {
    if (error instanceof TooComplexError) return false;
    throw error;
  }
}

function applied({ root, hasDefaults }: CompiledSchema, input: unknown): Applied {
  if (!isObject(input)) return { ok: false, message: 'the input must be an object' };
  const run = startRun(FAULTS_MAX);
  const value = hasDefaults ? withDefaults([root], input, run) : input;
  check(root, value, run);
  if (run.faults.length > 0 || !isObject(value)) return { ok: false, message: sentenceOf(run.faults) };
  return { ok: true, value };
}
