// JSON Schema for tools that users define: whether a schema can be used, and whether an input fits it. Draft 2020-12 and draft 7
// as tools in the field use them. Our own, since no library has all of: no code generation, linear-time patterns, defaults, and
// a bound on the work that schema and input can ask for together.
import { toWireSchema, type WireSchema } from '../wire-schema/wire-schema.ts';
import { createCache } from './cache.ts';
import { check } from './check.ts';
import { type CompiledSchema, compileSchema, type UncheckedPattern } from './compile.ts';
import { withDefaults } from './defaults.ts';
import { isObject } from './json.ts';
import { BYTES_PER_CHARACTER, FAULTS_MAX } from './limits.ts';
import { textOf } from './measure.ts';
import { createPace } from './pace.ts';
import { type Path, SchemaFault } from './place.ts';
import { startRun, TooComplexError } from './run.ts';
import { sentenceOf } from './words.ts';

/** The schema itself, and as the model is shown it. */
const COPIES = 2;

type Input = Record<string, unknown>;

type Applied = { ok: true; value: Input } | { ok: false; message: string };

/** Where a schema is wrong and why, or what a tool with it costs and which of its patterns are not checked. */
type Inspected =
  | { fault: { path: Path; message: string } }
  | { fault: null; unchecked: UncheckedPattern[]; work: number };

const TOO_COMPLEX =
  'the input is too complex to be checked against the parameters of this tool: send less at once, or less deeply nested';

/** For a tool that an older version took although its schema can't be shown: its inputs are checked all the same. */
const ANY_INPUT: WireSchema = { inputSchema: { type: 'object', properties: {} }, fromWire: (input) => input };

/** A schema and its JSON, which is its key in the caches. */
type Keyed = ReturnType<typeof textOf>;

export type SchemaChecker = ReturnType<typeof createSchemaChecker>;

export function createSchemaChecker() {
  const schemas = createCache<CompiledSchema>();
  // Each step needs the wire of every tool, but compiled schemas of the called ones only.
  const wires = createCache<WireSchema>();

  function compiled({ schema, text }: Keyed): CompiledSchema {
    const known = schemas.get(text);
    if (known) return known;
    const made = compileSchema(schema);
    if (!defaultsEnd(made))
      throw new SchemaFault([], 'has defaults that are too many, or that contain themselves');
    schemas.set(text, made, text.length * BYTES_PER_CHARACTER + made.bytes);
    return made;
  }

  function wired(keyed: Keyed): WireSchema {
    const { schema, text } = keyed;
    const known = wires.get(text);
    if (known) return known;
    compiled(keyed);
    const made = toWireSchema(schema);
    wires.set(text, made, text.length * BYTES_PER_CHARACTER * COPIES);
    return made;
  }

  const apply = (schema: Input, input: Input): Applied =>
    answered(() => applied(compiled(textOf(schema)), input));

  /** Whether a schema can be a tool's `parameters`. */
  function inspect(schema: unknown): Inspected {
    try {
      const keyed = textOf(schema);
      const { unchecked, work } = compiled(keyed);
      wired(keyed);
      return { fault: null, unchecked, work };
    } catch (error) {
      if (error instanceof SchemaFault)
        return { fault: { path: error.path, message: sentenceOf([error.message]) } };
      throw error;
    }
  }

  return {
    /** To be awaited before each schema of many. */
    pace: createPace(),

    /** The first half of the work of `inspect`, so that callers can await `pace` between the halves. */
    prepare(schema: unknown): void {
      try {
        compiled(textOf(schema));
      } catch (error) {
        // `inspect` tells it.
        if (!(error instanceof SchemaFault)) throw error;
      }
    },

    inspect,

    /** Why a schema cannot be a tool's `parameters`, as the path to what is wrong in it and words, or null. */
    faultOf: (schema: unknown) => inspect(schema).fault,

    /** The schema as requests carry it. */
    wireOf(schema: Input): WireSchema {
      try {
        return wired(textOf(schema));
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

    /** The same for an input with the names that the model was shown. One that does not fit has the tool's own names, too. */
    applyWire(schema: Input, input: Input): Applied & { value: Input } {
      let value = input;
      const answer = answered(() => {
        const keyed = textOf(schema);
        value = wired(keyed).fromWire(input);
        return applied(compiled(keyed), value);
      });
      return { value, ...answer };
    },
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
