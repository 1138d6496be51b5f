// One check of one input: its remaining budget, its current path and its faults.
import { CHECK_DEPTH_MAX, STEPS_MAX } from './limits.ts';
import { nameOf } from './words.ts';

/** Schema and input together need more work than one call may do. */
export class TooComplexError extends Error {}

export interface Run {
  stepsLeft: number;
  depth: number;
  path: (string | number)[];
  faults: string[];
  faultsMax: number;
}

export const startRun = (faultsMax: number): Run => ({
  stepsLeft: STEPS_MAX,
  depth: 0,
  path: [],
  faults: [],
  faultsMax,
});

export function spend(run: Run, steps: number): void {
  run.stepsLeft -= steps;
  if (run.stepsLeft < 0) throw new TooComplexError();
}

/** Runs `go` one level deeper. The bound keeps the stack from overflowing. */
export function deeper<Result>(run: Run, go: () => Result): Result {
  run.depth += 1;
  if (run.depth > CHECK_DEPTH_MAX) throw new TooComplexError();
  const result = go();
  run.depth -= 1;
  return result;
}

/** The cost of a message, plus a part for each level of nesting in the field's name. */
const REPORT_STEPS = 20;
const REPORT_STEPS_A_LEVEL = 4;

export function report(run: Run, message: string): void {
  if (isFull(run)) return;
  spend(run, REPORT_STEPS + REPORT_STEPS_A_LEVEL * run.path.length);
  run.faults.push(`${nameOf(run.path)} ${message}`);
}

export function reportAt(run: Run, key: string | number, message: string): void {
  run.path.push(key);
  report(run, message);
  run.path.pop();
}

export const isFull = (run: Run): boolean => run.faults.length >= run.faultsMax;
