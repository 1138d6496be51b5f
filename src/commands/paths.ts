// Paths and names: in the installed package, in the data directory, in Temporal.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config.ts';

/** The build bundles this file into dist/main.js. */
const packageDir = fileURLToPath(new URL('../', import.meta.url));

export const WORKFLOW_BUNDLE = join(packageDir, 'dist', 'workflow-bundle.js');

export const TASK_QUEUE = 'openclaw-sessions';

export const packageVersion = (): string =>
  (JSON.parse(readFileSync(join(packageDir, 'package.json'), 'utf8')) as { version: string }).version;

/** The operator's database, or the SQLite file in the data directory. */
export const databaseOf = ({ databaseUrl, dataDir }: Pick<Config, 'databaseUrl' | 'dataDir'>): string =>
  databaseUrl ?? join(dataDir, 'openclaw.db');
export const adminKeyFile = (dataDir: string): string => join(dataDir, 'admin.key');
export const secretKeyFile = (dataDir: string): string => join(dataDir, 'secret.key');
