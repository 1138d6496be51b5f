// Checks a value against a compiled schema.
import { deeper, isFull, type Run, spend } from './run.ts';
import type { SchemaNode } from './schema-node.ts';

export function check(node: SchemaNode, value: unknown, run: Run): void {
  spend(run, 1 + node.checks.length);
  if (value === null && node.nullable) return;
  deeper(run, () => {
    for (const keyword of node.checks) {
      if (isFull(run)) return;
      keyword(value, run);
    }
  });
}

export function checkAt(node: SchemaNode, key: string | number, value: unknown, run: Run): void {
  run.path.push(key);
  check(node, value, run);
  run.path.pop();
}

/** The faults of `value` alone, for keywords that test a schema without requiring it. */
export function faultsIn(node: SchemaNode, value: unknown, run: Run): string[] {
  const { faults } = run;
  run.faults = [];
  check(node, value, run);
  const found = run.faults;
  run.faults = faults;
  return found;
}

/** Stops at the first fault. */
export function fits(node: SchemaNode, value: unknown, run: Run): boolean {
  const { faultsMax } = run;
  run.faultsMax = 1;
  const found = faultsIn(node, value, run);
  run.faultsMax = faultsMax;
  return found.length === 0;
}
