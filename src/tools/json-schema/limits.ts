// The bounds of the checker. Users who register tools write the schemas, and users who talk to the model shape the inputs. The
// checker trusts neither. Together these bounds keep each call to some tens of milliseconds of the event loop.

/** `parameters` as JSON: api.md's limit. Schemas in the field have 1 to 10 KiB. */
export const SCHEMA_BYTES_MAX = 65_536;

/** Nesting of a schema as JSON. A level of objects takes two levels, with a union four. Bounds the recursion over schemas. */
export const SCHEMA_DEPTH_MAX = 100;

/**
 * Schemas within a schema. A 64 KiB schema with names and descriptions has 1,500. Without them, `[{},{},...]` has 20,000.
 * A schema compiles in one go: 4,900 schemas took 280 ms of CPU in a new process.
 */
export const SCHEMAS_MAX = 2_500;

/**
 * Instructions for all different patterns of a schema, counted before compilation (see patterns.ts). re2js takes up to 40 µs for
 * an instruction, and a hundred times longer when cold. Twenty patterns of dates, ids and addresses need 1,500.
 */
export const PATTERN_COST_MAX = 3_000;

/** Reading a pattern costs work as well, even if unchecked: up to 2 µs per character. */
export const PATTERN_CHARS_PER_WORK = 16;

/** Memory of one pattern's automaton for cached states. The engine's own default is 8 MiB. */
export const PATTERN_BYTES_MAX = 65_536;

/** A step takes about 50 to 100 ns. An ordinary value takes two to five steps, so 100,000 values fit. */
export const STEPS_MAX = 500_000;

/** Nested schemas during a check. Each takes three stack frames. A value 100 deep in a recursive union needs 300. */
export const CHECK_DEPTH_MAX = 500;

/** The model fixes the reported faults first. Its next attempt gets the remaining ones. */
export const FAULTS_MAX = 3;
export const MESSAGE_CHARACTERS_MAX = 1_000;

/** Compiled schemas kept: enough for eight sessions with all their tools, with a bound on memory. */
export const CACHE_ENTRIES_MAX = 1_024;
export const CACHE_BYTES_MAX = 67_108_864;

/** Measured: memory holds a schema as JSON, as values and in the form shown to the model. */
export const BYTES_PER_CHARACTER = 4;
export const BYTES_PER_VALUE = 100;

/**
 * Schemas and pattern instructions for all tools of a session. Enough for sixteen tools at their own limits, or 128 tools
 * with 300 in each. Each schema or instruction takes 5 to 40 µs.
 */
export const WORK_MAX = 40_000;

/** Reading and writing a value costs a tenth of a schema's work. An exact number costs ten times as much as another value. */
export const VALUES_PER_WORK = 10;
