// Workers of tests, and suites that start the product as a process, run what `npm run build` has made of the sources.
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const PROJECT_DIR = resolve(__dirname, '../..');
/** The last that a build writes. */
export const WORKFLOW_BUNDLE = join(PROJECT_DIR, 'dist', 'workflow-bundle.js');
const SOURCES = ['src', 'workflows', 'activities', 'tsconfig.json', 'scripts/build.mjs', 'package-lock.json'];

/** Milliseconds since 1970 of the newest change in a file or folder; 0 when it is missing. */
function changedAt(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return 0;
  if (!found.isDirectory()) return found.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => changedAt(join(path, name))));
}

/** Builds when `dist` is missing or older than its sources. */
export function ensureBuilt(): void {
  const newestSource = Math.max(...SOURCES.map((name) => changedAt(join(PROJECT_DIR, name))));
  if (changedAt(WORKFLOW_BUNDLE) >= newestSource) return;
  execFileSync(process.execPath, ['scripts/build.mjs'], {
    cwd: PROJECT_DIR,
    // The compiler tells its errors on standard output.
    stdio: ['ignore', process.stderr, 'inherit'],
  });
}
