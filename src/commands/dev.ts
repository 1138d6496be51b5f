// `openclaw dev`: the whole system in one process, on one machine, with nothing else installed.
import { readFileSync, writeFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { SEARCH_ATTRIBUTES } from '../../workflows/protocol.ts';
import { type Config, describeConfig } from '../config.ts';
import { type DataDirectory, openDataDirectory, readOrCreateSecret } from '../data-directory.ts';
import { assertPortFree, listen } from '../http/server.ts';
import { randomText } from '../ids.ts';
import { createLog } from '../log.ts';
import { createAnthropicModel } from '../models/anthropic.ts';
import { createCatalogue } from '../models/catalogue.ts';
import { startSimulator } from '../models/simulator.ts';
import { newKey } from '../services/api-key-format.ts';
import type { ApiKeys } from '../services/api-keys.ts';
import { locateBinary, TEMPORAL_CLI } from '../temporal/binary.ts';
import { startEmbeddedTemporal } from '../temporal/embedded-server.ts';
import { createSystem } from '../wiring.ts';
import { createCleanup } from './cleanup.ts';
import { adminKeyFile, databaseOf, packageVersion, secretKeyFile, WORKFLOW_BUNDLE } from './paths.ts';
import { readyText } from './ready-text.ts';

const ACCOUNT_NAME = 'default';
const TASK_QUEUE = 'openclaw-sessions';
const SECRET_LENGTH = 48;

type Cleanup = ReturnType<typeof createCleanup>;

async function startTemporal(config: Config, log: Logger, cleanup: Cleanup, signal: AbortSignal) {
  if (config.externalTemporal) return { ...config.externalTemporal, uiUrl: null };
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
    log,
  });
  cleanup.add('the Temporal server', server.stop);
  return { connection: { address: server.address }, namespace: 'default', uiUrl: server.uiUrl };
}

/** Claude, when it can be reached; otherwise the simulator, behind the same adapter. */
async function startModel(config: Config, cleanup: Cleanup) {
  const { anthropicApiKey, anthropicBaseUrl } = config;
  if (anthropicApiKey !== null || anthropicBaseUrl !== null) {
    // A server of the operator's own may want no key; the SDK does.
    const apiKey = anthropicApiKey ?? 'none';
    const model = createAnthropicModel({ apiKey, baseUrl: anthropicBaseUrl });
    cleanup.add('the model connections', model.close);
    return { model, name: anthropicBaseUrl === null ? 'Claude' : `Messages API at ${anthropicBaseUrl}` };
  }
  const simulator = await startSimulator();
  const model = createAnthropicModel({ apiKey: 'simulator', baseUrl: simulator.url });
  cleanup.add('the simulator', simulator.close);
  cleanup.add('the model connections', model.close);
  return { model, name: 'built-in simulator (set ANTHROPIC_API_KEY for Claude)' };
}

function readModelsFile(config: Config): unknown {
  if (config.modelsFile === null) return undefined;
  try {
    return JSON.parse(readFileSync(config.modelsFile, 'utf8'));
  } catch (cause) {
    throw new Error(`OPENCLAW_MODELS_FILE ${config.modelsFile} can't be read as JSON`, { cause });
  }
}

/** Makes the first admin key. @returns it when it was made now, and a warning when the operator's differs from it. */
async function firstKey(
  config: Config,
  apiKeys: ApiKeys,
): Promise<{ adminKey: string | null; warning: string | null }> {
  if (await apiKeys.hasKeys()) {
    const other = config.apiKey !== null && !(await apiKeys.knows(config.apiKey));
    const warning =
      'OPENCLAW_API_KEY is not a key of this data directory: it is read at the first start only';
    return { adminKey: null, warning: other ? warning : null };
  }
  const adminKey = config.apiKey ?? newKey();
  // The file comes first: a start that is cut off in between makes another key and writes it here again, but a key
  // that is in no file would be known to nobody.
  writeFileSync(adminKeyFile(config.dataDir), `${adminKey}\n`, { mode: 0o600 });
  await apiKeys.createForAccount(ACCOUNT_NAME, 'admin', adminKey);
  return { adminKey, warning: null };
}

function secretKey(config: Config, directory: DataDirectory): string {
  if (config.secretKey !== null) return config.secretKey;
  return readOrCreateSecret(secretKeyFile(directory.path), () => randomText(SECRET_LENGTH)).value;
}

async function start(config: Config, log: Logger, cleanup: Cleanup, signal: AbortSignal): Promise<string> {
  const catalogue = createCatalogue(readModelsFile(config));
  const directory = openDataDirectory(config.dataDir);
  cleanup.add('the data directory', async () => directory.release());
  // Before the slow parts, so that a taken port is told at once.
  await assertPortFree(config);
  const temporal = await startTemporal(config, log, cleanup, signal);
  const { model, name: modelName } = await startModel(config, cleanup);
  const system = await createSystem({
    database: databaseOf(config),
    temporal: { ...temporal, taskQueue: TASK_QUEUE, bundlePath: WORKFLOW_BUNDLE },
    model,
    catalogue,
    secretKey: secretKey(config, directory),
    version: packageVersion(),
    // The data directory's lock keeps other processes from SQLite; PostgreSQL may be shared.
    isOnlyWorker: config.databaseUrl === null,
    settings: config,
    log,
  });
  cleanup.add('the system', system.stop);
  const { adminKey, warning } = await firstKey(config, system.apiKeys);
  if (warning) log.warn(warning);
  await system.start();
  const server = await listen(system.app, config);
  cleanup.add('the HTTP server', server.close);
  const keyFile = adminKeyFile(config.dataDir);
  return readyText({ url: server.url, temporalUi: temporal.uiUrl, modelName, adminKey, keyFile });
}

/** Listens for the system's signals that ask us to stop. */
function listenForStop(): { asked: Promise<NodeJS.Signals>; abort: AbortSignal } {
  const controller = new AbortController();
  const asked = new Promise<NodeJS.Signals>((resolve) => {
    // The handlers stay: a second signal must not end the process in the middle of its stop.
    for (const name of ['SIGINT', 'SIGTERM'] as const)
      process.on(name, () => {
        controller.abort();
        resolve(name);
      });
  });
  return { asked, abort: controller.signal };
}

/** @returns the exit code, when the server has stopped. */
export async function dev(config: Config): Promise<number> {
  const log = createLog(config.logLevel);
  log.info(describeConfig(config), 'Configuration');
  for (const warning of config.warnings) log.warn(warning);
  const cleanup = createCleanup(log);
  const stop = listenForStop();
  try {
    // A first start may be fetching Temporal, which takes long: with the abort it gives up at once.
    const started = start(config, log, cleanup, stop.abort);
    const ready = await Promise.race([started, stop.asked.then(() => null)]);
    if (ready === null) await started.catch(() => undefined);
    else {
      process.stdout.write(ready);
      log.info({ signal: await stop.asked }, 'Stopping');
    }
  } finally {
    await cleanup.run();
  }
  return 0;
}
