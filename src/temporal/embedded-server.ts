// The embedded Temporal server: a child process that is started or adopted, kept alive while we live, and ended by `stop`.
// A kill -9 of this process leaves it running on purpose; the next start of the same data directory takes it over.

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

// What `temporal` commands and people's bookmarks expect: 7233 and, for the UI, 8233.
const PREFERRED_PORT = 7233;
const UI_PORT_OFFSET = 1_000;

// Ports are lost only to somebody who takes them in the half second between our look and the server's own.
const PORT_ATTEMPTS_MAX = 5;

// A left-over may have been started just before its parent was killed; a start takes about a second.
const ADOPTION_TIMEOUT_MS = 3_000;
const ADOPTION_POLL_MS = 50;

// An adopted server is not our child, so nobody tells us of its end. It is a promise of seconds, not of milliseconds.
const ADOPTED_POLL_MS = 500;

// The first restart comes at once, for turns wait for it; a server that cannot start is tried each 5 s without filling the log.
const RESTART_BACKOFF_FIRST_MS = 100;
const RESTART_BACKOFF_MAX_MS = 5_000;

// A program that merely looks at a port is gone by then; one that serves there stays.
const PORT_TAKEN_MS_MAX = 20_000;

type LogMethod = (details: Record<string, unknown>, message: string) => void;

export interface EmbeddedTemporalOptions {
  dataDir: string;
  binaryPath: string;
  /** Of the binary. Each version has its own database. */
  version: string;
  searchAttributes: Record<string, 'Keyword'>;
  log: { info: LogMethod; warn: LogMethod; error: LogMethod };
  /** Of gRPC; the others lie beside it. */
  preferredPort?: number;
  /** The operator's choice of a port for the UI. */
  uiPort?: number | null;
  /** Of the API, which listens later. Neither the server nor its UI takes it. */
  reservedPort?: number;
  /** Aborts a start that is under way. */
  signal?: AbortSignal;
  /** Another program has taken a port while the server was down, and keeps it: it can't be started again on its ports. */
  onLost(error: Error): void;
  /** How long another program may have a port before that. */
  portTakenMsMax?: number;
}

export interface EmbeddedTemporal {
  address: string;
  uiUrl: string;
  /** Where the UI was the last time, if another program has that port now. */
  uiMovedFrom: number | null;
  /** All on loopback. They stay the same over restarts. */
  ports: ServerPorts & { ui: number };
  /** Of the current process; another one after a restart. */
  pid(): number;
  /** Whether this start took over the server of a killed run. */
  adopted: boolean;
  /** Resolves when the process is gone. Stop the worker first: the server waits for its pollers. */
  stop(): Promise<void>;
}

/**
 * Resolves when the server answers. The caller holds the data directory's lock: two of these on one directory would fight.
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
  // Before the UI is opened: an earlier version's server listens on the UI's port itself.
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
 * Tries for ever, on the same ports, because every client knows them; not when another program keeps one of them.
 * @returns null when it is no longer wanted, or lost.
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
