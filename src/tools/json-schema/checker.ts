// JSON Schema for user-defined tools: checks schemas, and inputs against schemas. Supports draft 2020-12 and draft 7 as tools in
// the field use them. Our own checker, because no library combines:
// - no code generation
// - linear-time patterns
// - defaults
// - a bound on the joint work of schema and input
import { parseJson } from '../../contracts/json.ts';
import { toWireSchema, type WireSchema } from '../wire-schema/wire-schema.ts';
import { createCache } from './cache.ts';
import { check } from './check.ts';
import { type CompiledSchema, compileSchema, type UncheckedPattern } from './compile.ts';
import { withDefaults } from './defaults.ts';
import { isObject } from './json.ts';
import { BYTES_PER_CHARACTER, BYTES_PER_VALUE, FAULTS_MAX, VALUES_PER_WORK } from './limits.ts';
import { type Measured, textOf } from './measure.ts';
import { createPace } from './pace.ts';
import { type Path, SchemaFault } from './place.ts';
import { startRun, TooComplexError } from './run.ts';
import { sentenceOf } from './words.ts';

type Input = Record<string, unknown>;

type Applied = { ok: true; value: Input } | { ok: false; message: string };

/** The schema's fault and its path, or the cost of a tool with this schema and its unchecked patterns. */
type Inspected =
  | { fault: { path: Path; message: string } }
  | { fault: null; unchecked: UncheckedPattern[]; work: number; text: string };

/** A schema, or its JSON as `inspect` returns it. The JSON is parsed only if no cache has the schema. */
type Source = Input | string;

const TOO_COMPLEX =
  'the input is too complex to be checked against the parameters of this tool: send less at once, or less deeply nested';

/** For a tool accepted by an older version although its schema can't be shown. Its inputs are still checked. */
const ANY_INPUT: WireSchema = { inputSchema: { type: 'object', properties: {} }, fromWire: (input) => input };

/** A schema with its JSON, the key in both caches. */
interface Keyed {
  text: string;
  measured(): Measured;
}

function keyOf(source: Source): Keyed {
  if (typeof source === 'string') return { text: source, measured: () => textOf(parseJson(source)) };
  const measured = textOf(source);
  return { text: measured.text, measured: () => measured };
}

/** The memory one form of the schema may take. */
const bytesOf = ({ text, values }: Measured): number =>
  text.length * BYTES_PER_CHARACTER + values * BYTES_PER_VALUE;

function createCompiler() {
  const schemas = createCache<CompiledSchema>();
  // Each step needs the wire schema of every tool, but the compiled schemas of called tools only.
  const wires = createCache<WireSchema>();

  function compiled({ text, measured }: Keyed): CompiledSchema {
    const known = schemas.get(text);
    if (known) return known;
    const found = measured();
    const made = compileSchema(found.schema);
    if (!defaultsEnd(made))
      throw new SchemaFault([], 'has defaults that are too many, or that contain themselves');
    schemas.set(text, made, bytesOf(found) + made.bytes);
    return made;
  }

  function wired(keyed: Keyed): WireSchema {
    const known = wires.get(keyed.text);
    if (known) return known;
    compiled(keyed);
    const found = keyed.measured();
    const made = toWireSchema(found.schema);
    wires.set(keyed.text, made, bytesOf(found));
    return made;
  }

  return { compiled, wired };
}

export type SchemaChecker = ReturnType<typeof createSchemaChecker>;

export function createSchemaChecker() {
  const { compiled, wired } = createCompiler();

  const apply = (schema: Source, input: Input): Applied =>
    answered(() => applied(compiled(keyOf(schema)), input));

  /** Whether a schema can be a tool's `parameters`. */
  function inspect(schema: unknown): Inspected {
    try {
      const measured = textOf(schema);
      const { text, values } = measured;
      const keyed = { text, measured: () => measured };
      const { unchecked, work } = compiled(keyed);
      wired(keyed);
      return { fault: null, unchecked, work: Math.max(work, Math.ceil(values / VALUES_PER_WORK)), text };
    } catch (error) {
      if (error instanceof SchemaFault)
        return { fault: { path: error.path, message: sentenceOf([error.message]) } };
      throw error;
    }
  }

  return {
    /** Await before each schema of a batch. */
    pace: createPace(),

    /** The first half of `inspect`, so that callers can await `pace` between the halves. */
    prepare(schema: Input): void {
      try {
        compiled(keyOf(schema));
      } catch (error) {
        // `inspect` reports the fault.
        if (!(error instanceof SchemaFault)) throw error;
      }
    },

    inspect,

    /** The path and message of the fault that keeps a schema from being a tool's `parameters`, or null. */
    faultOf: (schema: unknown) => inspect(schema).fault,

    /** The schema as model requests carry it. */
    wireOf(schema: Source): WireSchema {
      try {
        return wired(keyOf(schema));
      } catch (error) {
        if (error instanceof SchemaFault) return ANY_INPUT;
        throw error;
      }
    },

    /**
     * The input with defaults filled in, or the faults. Neither argument is changed, and parts without defaults are shared with
     * the input. Work is counted in steps, so the same call always has the same result.
     */
    apply,

    /** Like `apply`, for an input with the names shown to the model. A refused input also gets the tool's own names. */
    applyWire(schema: Source, input: Input): Applied & { value: Input } {
      let value = input;
      const answer = answered(() => {
        const keyed = keyOf(schema);
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

/** `default: {}` for a field of a recursive schema would add levels forever. */
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
