// The bounds of the checker. Whoever registers a tool writes the schema and whoever talks to the model shapes the input, so
// nothing here trusts either: together these bounds keep each call to some tens of milliseconds of the event loop.

/** `parameters` as JSON: api.md's limit. Schemas in the field have 1 to 10 KiB. */
export const SCHEMA_BYTES_MAX = 65_536;

/** Nesting of a schema as JSON; a level of objects takes two, with a union four. Recursion over a schema stays within it. */
export const SCHEMA_DEPTH_MAX = 100;

/**
 * Schemas within a schema. One of 64 KiB with names and descriptions has 1,500; without, `[{},{},...]` has 20,000. They are
 * compiled in one piece: 4,900 took 280 ms of CPU in a new process.
 */
export const SCHEMAS_MAX = 2_500;

/**
 * Instructions that all different patterns of a schema may compile to, as counted before they are compiled (see patterns.ts):
 * re2js takes up to 40 µs for one, and a hundred times longer when cold. Twenty patterns of dates, ids and addresses need 1,500.
 */
export const PATTERN_COST_MAX = 3_000;

/** Reading a pattern costs work as well, checked or not: up to 2 µs for a character. */
export const PATTERN_CHARS_PER_WORK = 16;

/** What the automaton of one pattern may keep of what it has seen; the engine itself would keep 8 MiB. */
export const PATTERN_BYTES_MAX = 65_536;

/** One step is some 50 to 100 ns. An honest value takes two to five, so 100,000 values fit. */
export const STEPS_MAX = 500_000;

/** Nested schemas during a check, each costs three frames of the stack. A value 100 deep in a recursive union needs 300. */
export const CHECK_DEPTH_MAX = 500;

/** The model mends what it is told first; what is left it is told on its next try. */
export const FAULTS_MAX = 3;
export const MESSAGE_CHARACTERS_MAX = 1_000;

/** Compiled schemas kept: those of eight sessions with all their tools, and what these may hold in memory. */
export const CACHE_ENTRIES_MAX = 1_024;
export const CACHE_BYTES_MAX = 67_108_864;

/** Measured: a schema is held as JSON, as values and as the model is shown it. */
export const BYTES_PER_CHARACTER = 4;
export const BYTES_PER_VALUE = 100;

/**
 * Schemas and instructions of patterns that all tools of a session may have: sixteen tools at the limits of one, or 128 tools
 * with 300 in each. Either takes 5 to 40 µs.
 */
export const WORK_MAX = 40_000;

/** To read and to write a value costs a part of what a schema costs, a number that needs its digits the tenfold. */
export const VALUES_PER_WORK = 10;
