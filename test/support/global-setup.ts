// Once a run: the pinned Temporal binaries, what the sources are built to, one dev server for all suites.
import { mkdtempSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { locateBinary, TEMPORAL_CLI, TEMPORAL_TEST_SERVER } from '../../src/temporal/binary.ts';
import { startEmbeddedTemporal } from '../../src/temporal/embedded-server.ts';
import { SEARCH_ATTRIBUTES } from '../../workflows/protocol.ts';
import { ensureBuilt, WORKFLOW_BUNDLE } from './built.ts';
import { findPostgres, startPostgres, type TestPostgres } from './postgres.ts';
import { writeRunFile } from './run-file.ts';

const silent = { info() {}, warn() {}, error: console.error };

export default async function setup(): Promise<void> {
  if (process.env.TEST_DATABASE === 'postgres') await startDatabase();
  // Set by scripts/test.mjs for suites that need no Temporal server.
  if (process.env.TEST_TEMPORAL === 'none') return;
  const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');
  const options = {
    cacheDir,
    searchPath: process.env.PATH ?? '',
    onProgress: (line: string) => console.error(line),
  };
  const cli = await locateBinary(TEMPORAL_CLI, options);
  const testServer = await locateBinary(TEMPORAL_TEST_SERVER, options);
  const directory = mkdtempSync(join(tmpdir(), 'openclaw-test-'));
  ensureBuilt();
  const server = await startEmbeddedTemporal({
    dataDir: directory,
    binaryPath: cli.path,
    version: TEMPORAL_CLI.version,
    searchAttributes: Object.fromEntries(Object.values(SEARCH_ATTRIBUTES).map((name) => [name, 'Keyword'])),
    log: silent,
    onLost: (error) => console.error(error),
  });
  (globalThis as { temporalServer?: typeof server }).temporalServer = server;
  writeRunFile({
    address: server.address,
    bundlePath: WORKFLOW_BUNDLE,
    cliPath: cli.path,
    testServerPath: testServer.path,
    directory,
  });
}

/** The suites find its address in the environment. */
async function startDatabase(): Promise<void> {
  const bin = findPostgres();
  if (!bin) throw new Error('PostgreSQL is not installed: apt-get install postgresql');
  const postgres = await startPostgres(bin);
  (globalThis as { postgres?: TestPostgres }).postgres = postgres;
  process.env.TEST_POSTGRES_URL = postgres.url;
}
