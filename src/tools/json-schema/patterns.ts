// Patterns in linear time. JavaScript's RegExp backtracks: `^(a+)+$` blocked the event loop for 17 s on 28 characters.
import { RE2JS, RE2Set } from 're2js';
import { PATTERN_BYTES_MAX, PATTERN_COST_MAX } from './limits.ts';
import { type Run, spend } from './run.ts';

export interface Pattern {
  /** False for look-around: every text passes, and the session's warnings name the pattern. */
  isChecked: boolean;
  matches(text: string, run: Run): boolean;
}

export class PatternError extends Error {}

/** A Unicode class has hundreds of ranges, each to be sorted and merged: measured 0.6 ms. */
const UNICODE_CLASS_COST = 30;

/**
 * Simulating the automaton takes up to 150 ns for each character and instruction. Patterns in the field take a hundredth of
 * that, but nothing tells beforehand.
 */
const INSTRUCTIONS_PER_STEP = 2;

/** An instruction with its classes of characters. */
const BYTES_PER_COST = 1_000;

const REPEAT = /(.?)\{(\d{1,4})(?:,(\d{0,4}))?\}/gsu;
const REPEATS_MAX = 1_000;

/**
 * At most how many instructions a pattern compiles to, times a small constant. It reads too high rather than too low: `{n}`
 * after a parenthesis is taken to repeat all that stands before it, and braces within `[]` are counted, too.
 */
function costOf(source: string): number {
  let cost = source.length + UNICODE_CLASS_COST * (source.match(/\\p/gi)?.length ?? 0);
  for (const [, before, least, most] of source.matchAll(REPEAT)) {
    const times = Math.max(Number(least), Number(most ?? 0));
    if (times > REPEATS_MAX) continue; // The engine refuses these.
    cost = before === ')' ? cost * Math.max(times, 1) : cost + times;
  }
  return cost;
}

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** RE2's quoting, which JavaScript does not have: `(...)\Q\E{1000}` would hide from `costOf` what is repeated. */
const QUOTING = /(?<!\\)(?:\\\\)*\\[QE]/;

/** Skips escapes and classes, where `(?=` has another meaning. Anchored and lazy, so it takes linear time. */
const LOOK_AROUND = /^(?:\\.|\[(?:\\.|[^\]\\])*\]|[^\\[])*?\(\?<?[=!]/su;

/** Python's spellings, which Pydantic and others put into schemas. */
const inJavaScript = (source: string): string =>
  source.replace(/^\(\?[a-zA-Z]+\)/, '').replaceAll('(?P<', '(?<');

/** Whether JavaScript reads it; `u` is how JSON Schema does. Nothing runs it. */
export function isRegExp(source: string, flags = 'u'): boolean {
  try {
    return new RegExp(source, flags) instanceof RegExp;
  } catch {
    return false;
  }
}

/** Pydantic writes decimals with look-ahead, for which no engine is linear. */
const UNCHECKED: Pattern = { isChecked: false, matches: () => true };

function compiled(source: string): RE2Set {
  if (QUOTING.test(source)) throw new PatternError('must not quote with \\Q and \\E');
  try {
    const set = new RE2Set(RE2Set.UNANCHORED, 0, PATTERN_BYTES_MAX);
    set.add(RE2JS.translateRegExp(source));
    set.compile();
    return set;
  } catch (error) {
    throw new PatternError(
      `cannot be matched in linear time, for example because of a back reference (${wordsOf(error)})`,
      { cause: error },
    );
  }
}

/** The patterns of one schema; each different one is compiled and paid once. */
export function createPatterns() {
  const patterns = new Map<string, Pattern>();
  let costLeft = PATTERN_COST_MAX;

  function pattern(source: string): Pattern {
    const known = patterns.get(source);
    if (known) return known;
    if (LOOK_AROUND.test(source) && isRegExp(inJavaScript(source), '')) return UNCHECKED;
    costLeft -= costOf(source);
    if (costLeft < 0) throw new PatternError('makes the patterns of this schema too large together');
    const set = compiled(source);
    const instructions = set.prog.numInst();
    const made: Pattern = {
      isChecked: true,
      matches(text, run) {
        spend(run, 1 + Math.ceil((text.length * instructions) / INSTRUCTIONS_PER_STEP));
        return set.match(text).length > 0;
      },
    };
    patterns.set(source, made);
    return made;
  }

  /** What they may hold in memory at most. */
  const bytes = (): number =>
    patterns.size * PATTERN_BYTES_MAX + (PATTERN_COST_MAX - costLeft) * BYTES_PER_COST;
  return { pattern, bytes, cost: (): number => PATTERN_COST_MAX - costLeft };
}
