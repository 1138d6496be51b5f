// `openclaw dev`: the whole system in one process, on one machine, without other installations.
import { resolve } from 'node:path';
import { SEARCH_ATTRIBUTES } from '../../workflows/protocol.ts';
import type { Config } from '../config.ts';
import { type DataDirectory, openDataDirectory, readOrCreateSecret } from '../data-directory.ts';
import { directoryTrouble } from '../directories.ts';
import { LOOPBACK } from '../egress/allow-list.ts';
import { assertPortFree, listen } from '../http/server.ts';
import { randomText } from '../ids.ts';
import { assertReachable } from '../stores/open.ts';
import { locateBinary, TEMPORAL_CLI } from '../temporal/binary.ts';
import type { TemporalAddress } from '../temporal/connection.ts';
import { startEmbeddedTemporal } from '../temporal/embedded-server.ts';
import { createSystem } from '../wiring.ts';
import { checkGivenKey, firstKeyOfDirectory } from './first-key.ts';
import { checkInstallation } from './installation.ts';
import { runUntilStopped, type Start } from './lifecycle.ts';
import { readCatalogue, startModel } from './model.ts';
import {
  adminKeyFile,
  databaseOf,
  packageVersion,
  secretKeyFile,
  TASK_QUEUE,
  WORKFLOW_BUNDLE,
} from './paths.ts';
import { readyText } from './ready-text.ts';

const SECRET_LENGTH = 48;

/** 7233, Temporal's own port, if the address is missing or has no port. */
const portOf = ({ address = '' }: TemporalAddress): number => Number(/:(\d+)$/.exec(address)?.[1] ?? 7233);

async function startTemporal({ config, log, cleanup, signal, fail }: Start) {
  if (config.externalTemporal) {
    const port = portOf(config.externalTemporal.connection);
    return { ...config.externalTemporal, uiUrl: null, uiMovedFrom: null, ports: [port] };
  }
  const onProgress = (line: string) => process.stderr.write(`${line}\n`);
  const { path } = await locateBinary(TEMPORAL_CLI, {
    cacheDir: config.cacheDir,
    searchPath: config.searchPath,
    onProgress,
    signal,
  });
  const attributes = Object.values(SEARCH_ATTRIBUTES).map((name) => [name, 'Keyword'] as const);
  const server = await startEmbeddedTemporal({
    dataDir: config.dataDir,
    binaryPath: path,
    version: TEMPORAL_CLI.version,
    searchAttributes: Object.fromEntries(attributes),
    uiPort: config.temporalUiPort,
    reservedPort: config.port,
    signal,
    log,
    onLost: fail,
  });
  cleanup.add('the Temporal server', server.stop);
  return {
    connection: { address: server.address },
    namespace: 'default',
    uiUrl: server.uiUrl,
    uiMovedFrom: server.uiMovedFrom,
    ports: Object.values(server.ports),
  };
}

function secretKey(config: Config, directory: DataDirectory): string {
  if (config.secretKey !== null) return config.secretKey;
  return readOrCreateSecret(secretKeyFile(directory.path), () => randomText(SECRET_LENGTH)).value;
}

async function startAll(parts: Start): Promise<string> {
  const { config, log, cleanup } = parts;
  checkGivenKey(config);
  const catalogue = readCatalogue(config);
  const directory = openDataDirectory(config.dataDir);
  cleanup.add('the data directory', async () => directory.release());
  for (const warning of await checkInstallation(config)) log.warn(warning);
  // Before the slow parts, so a taken port or an unreachable database is reported immediately.
  await assertPortFree(config);
  await assertReachable(databaseOf(config));
  const { ports, uiMovedFrom, ...temporal } = await startTemporal(parts);
  const { model, name: modelName } = await startModel(config, catalogue, cleanup);
  const system = await createSystem({
    database: databaseOf(config),
    redisUrl: config.redisUrl,
    temporal: { ...temporal, taskQueue: TASK_QUEUE, bundlePath: WORKFLOW_BUNDLE },
    model,
    catalogue,
    secretKey: secretKey(config, directory),
    webhookTargets: [...config.egressAllow, ...LOOPBACK],
    // Temporal obeys every caller: a webhook URL with its address could end a session of another account.
    webhookPortsDenied: ports,
    version: packageVersion(),
    // The data directory's lock excludes other processes from SQLite. PostgreSQL may be shared.
    isOnlyWorker: config.databaseUrl === null,
    settings: { ...config, allowLocalPages: true },
    log,
  });
  cleanup.add('the system', system.stop);
  const { adminKey, warning, lostKey } = await firstKeyOfDirectory(config, system.apiKeys);
  if (warning) log.warn(warning);
  await system.start();
  const server = await listen(system.app, config);
  cleanup.add('the HTTP server', server.close);
  const keyFile = adminKeyFile(config.dataDir);
  const temporalUi = temporal.uiUrl === null ? null : { url: temporal.uiUrl, movedFrom: uiMovedFrom };
  return readyText({ url: server.url, temporalUi, modelName, adminKey, keyFile, lostKey });
}

/** False for files elsewhere, such as build output, and for processes of other users. SQLite's errors name no file. */
function concerns(dataDir: string, error: unknown): boolean {
  const { path, syscall } = (error ?? {}) as { path?: unknown; syscall?: unknown };
  if (typeof path !== 'string') return syscall !== 'kill';
  return resolve(path).startsWith(dataDir) || dataDir.startsWith(resolve(path));
}

/** @throws {Error} naming the data directory and the fix if the directory can't be used. */
async function start(parts: Start): Promise<string> {
  try {
    return await startAll(parts);
  } catch (cause) {
    const dataDir = resolve(parts.config.dataDir);
    const trouble = concerns(dataDir, cause) ? directoryTrouble(cause) : null;
    if (trouble === null) throw cause;
    throw new Error(
      `The data directory ${dataDir} can't be used: ${trouble}. ` +
        'Set OPENCLAW_DATA_DIR to a directory that you can write, on a disk with free space.',
      { cause },
    );
  }
}

/** @returns the exit code, after the server has stopped. */
export const dev = (config: Config): Promise<number> => runUntilStopped(config, start);
