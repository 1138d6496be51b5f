// Matches patterns in linear time. JavaScript's RegExp backtracks: `^(a+)+$` blocked the event loop for 17 s on 28 characters.
import { RE2JS, RE2Set } from 're2js';
import { type Reading, readPattern } from './dialects.ts';
import { PATTERN_BYTES_MAX, PATTERN_CHARS_PER_WORK, PATTERN_COST_MAX } from './limits.ts';
import { type Run, spend } from './run.ts';

/** Why this server can't check the pattern: look-around, another dialect's syntax, or too many or unknown instructions. */
export type Unchecked = 'look-around' | 'foreign' | 'too large';

export interface Pattern {
  /** With a reason, every text passes, and the session's warnings name the pattern. */
  unchecked: Unchecked | null;
  matches(text: string, run: Run): boolean;
}

export class PatternError extends Error {}

/**
 * Simulating the automaton takes up to 150 ns per character and instruction. Patterns in the field take a hundredth of
 * this time, but the cost can't be predicted.
 */
const INSTRUCTIONS_PER_STEP = 2;

/** An instruction with its character classes. */
const BYTES_PER_COST = 1_000;

const unchecked = (reason: Unchecked): Pattern => ({ unchecked: reason, matches: () => true });

/** Returns undefined if the engine lacks a character class or refuses the number of repeats. */
function compiled(re2: string): RE2Set | undefined {
  try {
    const set = new RE2Set(RE2Set.UNANCHORED, 0, PATTERN_BYTES_MAX);
    set.add(RE2JS.translateRegExp(re2));
    set.compile();
    return set;
  } catch {
    return undefined;
  }
}

/** The reason to leave a pattern unchecked, or null. @throws {PatternError} if the pattern makes the tool invalid. */
function reasonOf({ isBroken, hasLookAround, hasBackReference, isForeign }: Reading): Unchecked | null {
  if (isBroken) throw new PatternError('is no regular expression of JSON Schema');
  if (hasLookAround) return 'look-around';
  if (hasBackReference)
    throw new PatternError('cannot be matched in linear time, because of its back reference');
  return isForeign ? 'foreign' : null;
}

/** The patterns of one schema. Each distinct pattern is compiled and charged once. */
export function createPatterns() {
  const patterns = new Map<string, Pattern>();
  let costLeft = PATTERN_COST_MAX;
  let charsRead = 0;

  function pattern(source: string): Pattern {
    const known = patterns.get(source);
    if (known) return known;
    const made = make(source);
    patterns.set(source, made);
    return made;
  }

  function make(source: string): Pattern {
    charsRead += source.length;
    const reading = readPattern(source);
    const reason = reasonOf(reading);
    if (reason) return unchecked(reason);
    if (reading.cost > costLeft) return unchecked('too large');
    costLeft -= reading.cost;
    const set = compiled(reading.re2);
    if (!set) return unchecked('too large');
    const instructions = set.prog.numInst();
    return {
      unchecked: null,
      matches(text, run) {
        spend(run, 1 + Math.ceil((text.length * instructions) / INSTRUCTIONS_PER_STEP));
        return set.match(text).length > 0;
      },
    };
  }

  /** The most memory the patterns may take. */
  const bytes = (): number =>
    patterns.size * PATTERN_BYTES_MAX + (PATTERN_COST_MAX - costLeft) * BYTES_PER_COST;
  const work = (): number => PATTERN_COST_MAX - costLeft + Math.ceil(charsRead / PATTERN_CHARS_PER_WORK);
  return { pattern, bytes, work };
}
