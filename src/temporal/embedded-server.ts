// The embedded Temporal server: a child process, started or adopted, restarted while we run, and ended by `stop`. After a kill -9
// of this process the server keeps running on purpose. The next start of the same data directory adopts it.

import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeDirectory } from '../directories.ts';
import { isServing } from './embedded-health.ts';
import {
  addressOf,
  fingerprint,
  launchServer,
  type RunningServer,
  type ServerPlan,
  ServerStartError,
} from './embedded-process.ts';
import {
  otherVersions,
  readRecord,
  type ServerRecord,
  serverFiles,
  temporalDirectory,
  writeRecord,
} from './embedded-record.ts';
import {
  chooseBackendHost,
  type EmbeddedUi,
  openEmbeddedUi,
  readUiPlace,
  writeUiPlace,
} from './embedded-ui.ts';
import { choosePorts, type RecordedPorts, type ServerPorts } from './free-ports.ts';
import { endProcess, isRunning, type ProcessIdentity } from './process-identity.ts';

// The ports that `temporal` commands and bookmarks expect: 7233 and, for the UI, 8233.
const PREFERRED_PORT = 7233;
const UI_PORT_OFFSET = 1_000;

// A port is only lost to a program that takes it in the half second between our check and the server's start.
const PORT_ATTEMPTS_MAX = 5;

// A leftover server may have started just before its parent was killed. A start takes about a second.
const ADOPTION_TIMEOUT_MS = 3_000;
const ADOPTION_POLL_MS = 50;

// An adopted server isn't our child, so its exit sends no event. Recovery is promised within seconds, not milliseconds.
const ADOPTED_POLL_MS = 500;

// The first restart is immediate, because turns wait for it. If restarts fail, one attempt every 5 s keeps the log small.
const RESTART_BACKOFF_FIRST_MS = 100;
const RESTART_BACKOFF_MAX_MS = 5_000;

// A program that only tests a port is gone by then. A program that serves there stays.
const PORT_TAKEN_MS_MAX = 20_000;

type LogMethod = (details: Record<string, unknown>, message: string) => void;

export interface EmbeddedTemporalOptions {
  dataDir: string;
  binaryPath: string;
  /** The version of the binary. Each version has its own database. */
  version: string;
  searchAttributes: Record<string, 'Keyword'>;
  log: { info: LogMethod; warn: LogMethod; error: LogMethod };
  /** The gRPC port. The other ports are next to it. */
  preferredPort?: number;
  /** The operator's port for the UI. */
  uiPort?: number | null;
  /** The port of the API, which listens later. Neither the server nor its UI takes it. */
  reservedPort?: number;
  /** Aborts a start in progress. */
  signal?: AbortSignal;
  /** Called when another program keeps a port that it took while the server was down, so no restart is possible. */
  onLost(error: Error): void;
  /** How long another program may keep a port before `onLost`. */
  portTakenMsMax?: number;
}

export interface EmbeddedTemporal {
  address: string;
  uiUrl: string;
  /** The previous port of the UI, if another program uses it now. */
  uiMovedFrom: number | null;
  /** Loopback ports, the same over restarts. */
  ports: ServerPorts & { ui: number };
  /** The pid of the current process. Changes with a restart. */
  pid(): number;
  /** True if this start adopted the server of a killed run. */
  adopted: boolean;
  /** Resolves when the process has ended. Stop the worker first, because the server waits for its pollers. */
  stop(): Promise<void>;
}

/**
 * Resolves when the server responds. The caller holds the data directory's lock, as two servers on one directory would conflict.
 * @throws {ServerStartError} with the last lines of the server's log.
 */
export async function startEmbeddedTemporal(options: EmbeddedTemporalOptions): Promise<EmbeddedTemporal> {
  const { log } = options;
  const directory = temporalDirectory(resolve(options.dataDir));
  makeDirectory(directory, 0o700);
  const place = readUiPlace(directory);
  const plan = planServer(options, place.backendHost ?? (await chooseBackendHost()));
  makeDirectory(plan.files.directory, 0o700);
  const record = readRecord(plan.files);
  const remembered = place.port ?? record?.ports.ui ?? null;
  const preferred = (options.preferredPort ?? PREFERRED_PORT) + UI_PORT_OFFSET;
  // Before the UI is opened: an earlier version's server itself listens on the UI's port.
  await endOtherVersions(options);
  const leftOver = await adoptOrEnd(plan, record, options);
  const { uiPort: configured = null, reservedPort: reserved } = options;
  const ui = await openEmbeddedUi({ configured, remembered, preferred, reserved });
  try {
    writeUiPlace(directory, { port: ui.port, backendHost: plan.uiHost });
    const server = leftOver ?? (await startOnFreePorts(plan, record?.ports ?? null, options));
    ui.serve({ host: plan.uiHost, port: server.ports.uiBackend });
    const details = {
      temporalPid: server.identity.pid,
      address: addressOf(server.ports),
      version: plan.version,
    };
    const how = leftOver
      ? 'adopted the embedded Temporal server of a killed run'
      : 'embedded Temporal server started';
    log.info(details, how);
    const hasMoved = !options.uiPort && remembered !== null && remembered !== ui.port;
    if (hasMoved)
      log.warn({ remembered, ui: ui.url }, 'the port of the Temporal UI is in use by another program');
    return {
      ...supervise(plan, server, ui, options),
      adopted: leftOver !== null,
      uiMovedFrom: hasMoved ? remembered : null,
    };
  } catch (error) {
    await ui.close();
    throw error;
  }
}

class PortLostError extends Error {
  override readonly name = 'PortLostError';

  constructor(ports: ServerPorts, ms: number, cause: Error) {
    super(
      `While the embedded Temporal server was down another program took one of its ports (${Object.values(ports).join(', ')}) and kept it for ${ms / 1_000} s. Start again: the next start takes others. Nothing is lost.`,
      { cause },
    );
  }
}

function planServer(
  { dataDir, binaryPath, version, searchAttributes }: EmbeddedTemporalOptions,
  uiHost: string,
): ServerPlan {
  // Absolute, because the server runs in its own directory.
  return {
    binaryPath: resolve(binaryPath),
    version,
    files: serverFiles(resolve(dataDir), version),
    uiHost,
    searchAttributes,
  };
}

async function endOtherVersions({ dataDir, version, log }: EmbeddedTemporalOptions): Promise<void> {
  for (const other of otherVersions(resolve(dataDir), version)) {
    const files = serverFiles(resolve(dataDir), other);
    const record = readRecord(files);
    if (!record?.process || !isRunning(record.process)) continue;
    log.warn(
      { temporalPid: record.process.pid, version: other },
      'ending the embedded Temporal server of another version',
    );
    await endProcess(record.process);
    writeRecord(files.directory, { ...record, process: null });
  }
}

async function adoptOrEnd(
  plan: ServerPlan,
  record: ServerRecord | null,
  { log }: EmbeddedTemporalOptions,
): Promise<RunningServer | null> {
  if (!record?.process || !isRunning(record.process)) return null;
  const { process: identity, ports } = record;
  const isSame = record.fingerprint === fingerprint(plan);
  if (isSame && areKnown(ports) && (await servesSoon(identity, ports)))
    return { identity, ports, gone: untilGone(identity) };
  const reason = isSame ? 'it does not answer' : 'its options have changed';
  log.warn({ temporalPid: identity.pid, reason }, 'replacing the embedded Temporal server of a killed run');
  await endProcess(identity);
  return null;
}

const areKnown = (ports: RecordedPorts): ports is ServerPorts =>
  ports.http !== undefined && ports.metrics !== undefined && ports.uiBackend !== undefined;

async function servesSoon(identity: ProcessIdentity, ports: ServerPorts): Promise<boolean> {
  const deadline = Date.now() + ADOPTION_TIMEOUT_MS;
  while (isRunning(identity) && Date.now() < deadline) {
    if (await isServing(addressOf(ports))) return isRunning(identity);
    await sleep(ADOPTION_POLL_MS);
  }
  return false;
}

async function untilGone(identity: ProcessIdentity): Promise<string> {
  while (isRunning(identity)) await sleep(ADOPTED_POLL_MS, undefined, { ref: false });
  return 'the adopted process is gone';
}

async function startOnFreePorts(
  plan: ServerPlan,
  remembered: RecordedPorts | null,
  options: EmbeddedTemporalOptions,
): Promise<RunningServer> {
  const preferredGrpc = options.preferredPort ?? PREFERRED_PORT;
  const lost = new Set(options.reservedPort === undefined ? [] : [options.reservedPort]);
  for (let attempt = 1; ; attempt++) {
    const ports = await choosePorts({ remembered, preferredGrpc, uiHost: plan.uiHost, lost });
    try {
      return await launchServer(plan, ports, options.signal);
    } catch (error) {
      const isRace = error instanceof ServerStartError && error.portTaken;
      if (!isRace || attempt === PORT_ATTEMPTS_MAX) throw error;
      options.log.warn(
        { ports },
        'a port of the embedded Temporal server was taken meanwhile, trying others',
      );
      for (const port of Object.values(ports)) lost.add(port);
    }
  }
}

function supervise(
  plan: ServerPlan,
  first: RunningServer,
  ui: EmbeddedUi,
  options: EmbeddedTemporalOptions,
): Omit<EmbeddedTemporal, 'adopted' | 'uiMovedFrom'> {
  const { log } = options;
  let current = first;
  let stopped: Promise<void> | undefined;
  const stopping = new AbortController();
  const whenStopping = new Promise<null>((resolve) => {
    stopping.signal.addEventListener('abort', () => resolve(null), { once: true });
  });
  const keptAlive = keepAlive();

  async function keepAlive(): Promise<void> {
    while (!stopping.signal.aborted) {
      const reason = await Promise.race([current.gone, whenStopping]);
      if (reason === null) return;
      log.warn(
        { temporalPid: current.identity.pid, reason },
        'the embedded Temporal server died, starting it again',
      );
      const next = await restart(plan, current.ports, options, stopping.signal);
      if (next === null) return;
      current = next;
    }
  }

  async function stopNow(): Promise<void> {
    stopping.abort();
    await ui.close();
    await keptAlive;
    await endProcess(current.identity);
    const { databaseFile, directory } = plan.files;
    writeRecord(directory, {
      process: null,
      ports: current.ports,
      fingerprint: fingerprint(plan),
      databaseFile,
    });
    log.info({ temporalPid: current.identity.pid }, 'embedded Temporal server stopped');
  }

  return {
    address: addressOf(first.ports),
    uiUrl: ui.url,
    ports: { ...first.ports, ui: ui.port },
    pid: () => current.identity.pid,
    stop: () => {
      stopped ??= stopNow();
      return stopped;
    },
  };
}

/**
 * Retries for ever on the same ports, because every client knows them. Gives up if another program keeps a port.
 * @returns null after a stop, or if a port is lost.
 */
async function restart(
  plan: ServerPlan,
  ports: ServerPorts,
  { log, onLost, portTakenMsMax = PORT_TAKEN_MS_MAX }: EmbeddedTemporalOptions,
  signal: AbortSignal,
): Promise<RunningServer | null> {
  let takenSince: number | null = null;
  for (
    let backoffMs = RESTART_BACKOFF_FIRST_MS;
    ;
    backoffMs = Math.min(backoffMs * 2, RESTART_BACKOFF_MAX_MS)
  ) {
    try {
      await sleep(backoffMs, undefined, { signal, ref: false });
      const server = await launchServer(plan, ports, signal);
      log.info(
        { temporalPid: server.identity.pid, address: addressOf(ports) },
        'embedded Temporal server started again',
      );
      return server;
    } catch (error) {
      if (signal.aborted) return null;
      log.error({ err: error }, 'the embedded Temporal server could not be started again');
      if (!(error instanceof ServerStartError && error.portTaken)) takenSince = null;
      else {
        takenSince ??= Date.now();
        if (Date.now() - takenSince < portTakenMsMax) continue;
        onLost(new PortLostError(ports, portTakenMsMax, error));
        return null;
      }
    }
  }
}
