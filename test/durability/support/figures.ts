// What a run measured: printed for its reader, and kept for docs/durability.md when that is made.
import { appendFileSync } from 'node:fs';

export interface Table {
  /** Which table of the page these rows belong to. */
  table: string;
  rows: Record<string, string | number>[];
}

/** `DURABILITY_FIGURES` names the file that scripts/durability-report.mjs makes the page from. */
export function record(found: Table): void {
  for (const row of found.rows) {
    const cells = Object.entries(row).map(([name, value]) => `${name}: ${value}`);
    process.stdout.write(`${found.table}: ${cells.join(', ')}\n`);
  }
  const file = process.env.DURABILITY_FIGURES;
  if (file) appendFileSync(file, `${JSON.stringify(found)}\n`);
}

/** The value below which a share of them lies; they need not be sorted. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
