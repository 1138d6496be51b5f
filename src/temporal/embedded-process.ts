// One run of the dev server: its command line, its process, and its readiness.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, renameSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isServing } from './embedded-health.ts';
import { type ServerFiles, writeRecord } from './embedded-record.ts';
import { isFree, LOCALHOST, type ServerPorts } from './free-ports.ts';
import { endProcess, identifyProcess, type ProcessIdentity } from './process-identity.ts';

// Measured: 0.5 to 1.2 s on two cores. The rest is for a loaded machine with a big database.
const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 20;

// The log of earlier runs is rotated at this size, and one old file is kept. The server itself never truncates its log.
const LOG_SIZE_BYTES_MAX = 1_000_000;

const LOG_LINES_SHOWN = 15;

// The top-level domain `.invalid` never exists (RFC 6761).
const HTTP_API_HOST = 'http-api-is-off.invalid';

/** The part that stays the same over restarts of the server. */
export interface ServerPlan {
  binaryPath: string;
  version: string;
  files: ServerFiles;
  /** The loopback address of the server's own UI. */
  uiHost: string;
  searchAttributes: Record<string, 'Keyword'>;
}

export interface RunningServer {
  identity: ProcessIdentity;
  ports: ServerPorts;
  /** Resolves with the reason when the process has ended. */
  gone: Promise<string>;
}

/** A first start needs part of this space for Temporal's database and log. */
const FREE_MB_MIN = 16;

/** On a full disk the server often ends without a message. */
function roomHint(directory: string): string {
  const { blocks, bavail, bsize } = statfsSync(directory);
  const freeMb = Math.floor((bavail * bsize) / 1e6);
  if (blocks === 0 || freeMb >= FREE_MB_MIN) return '';
  return `. The disk of ${directory} has only ${freeMb} MB free: make room, or set OPENCLAW_DATA_DIR to another disk`;
}

/** The server ended before it was ready, or wasn't ready in time. */
export class ServerStartError extends Error {
  override readonly name = 'ServerStartError';
  readonly portTaken: boolean;

  constructor(reason: string, log: string, logFile: string, portTaken = false) {
    // A Go stack of a hundred lines follows, without use for an operator.
    const [beforeStack = ''] = log.split('\ngoroutine ');
    const lastLines = beforeStack.trim().split('\n').slice(-LOG_LINES_SHOWN).join('\n');
    const last = lastLines === '' ? '' : `. Last lines of ${logFile}:\n${lastLines}`;
    super(`The embedded Temporal server did not start: ${reason}${roomHint(dirname(logFile))}${last}`);
    this.portTaken = portTaken || log.includes('address already in use');
  }
}

export const addressOf = (ports: ServerPorts): string => `${LOCALHOST}:${ports.grpc}`;

function serverArguments(plan: ServerPlan): string[] {
  return [
    ...['server', 'start-dev', '--ip', LOCALHOST, '--ui-ip', plan.uiHost, '--log-level', 'error'],
    // The UI would report each visit to Temporal's makers.
    '--ui-disable-news-fetch',
    ...['--db-filename', plan.files.databaseFile],
    // A commit survives kill -9, but perhaps not a power cut. Only the store has to survive power cuts.
    ...['--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=1'],
    // SQLite overwrites the histories of deleted sessions in the file.
    ...['--sqlite-pragma', 'secure_delete=1'],
    // The HTTP API can't be switched off, and any web page could post to it. It accepts a single Host, known to no name server.
    ...['--dynamic-config-value', `frontend.httpAllowedHosts=["${HTTP_API_HOST}"]`],
    // The defaults suit many shards. With the dev server's single shard they delay each task by 50 ms and each timer by 1 s.
    ...['--dynamic-config-value', 'history.transferProcessorMaxPollRPS=2000'],
    ...['--dynamic-config-value', 'history.timerProcessorMaxPollRPS=2000'],
    ...['--dynamic-config-value', 'history.timerProcessorMaxTimeShift="20ms"'],
    // After three late workflow tasks Temporal retries at growing intervals of up to 10 minutes, too long for a client.
    ...['--dynamic-config-value', 'history.workflowTaskRetryMaxInterval="10s"'],
    // Temporal erases a deleted run after these queues have acknowledged its close. The default of 30 s delays this by minutes on
    // a busy server.
    ...['--dynamic-config-value', 'history.transferProcessorUpdateAckInterval="2s"'],
    ...['--dynamic-config-value', 'history.visibilityProcessorUpdateAckInterval="2s"'],
    // The default keeps 128,000 workflows of 30 KiB each for an hour after their last event. Reloading from the local disk is
    // cheap, and a worker caches fewer.
    ...['--dynamic-config-value', 'history.hostLevelCacheMaxSize=1000'],
    // These only apply to a new database (measured: an existing database ignores them silently). `ensureSearchAttributes` adds
    // the attributes of later releases.
    ...Object.entries(plan.searchAttributes)
      .sort()
      .flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]),
  ];
}

const portArguments = ({ grpc, http, metrics, uiBackend }: ServerPorts): string[] =>
  Object.entries({
    '--port': grpc,
    '--http-port': http,
    '--metrics-port': metrics,
    '--ui-port': uiBackend,
  }).flatMap(([flag, port]) => [flag, String(port)]);

/** Equal for two servers that differ only in their ports. */
export function fingerprint(plan: ServerPlan): string {
  const anyPorts = portArguments({ grpc: 0, http: 0, metrics: 0, uiBackend: 0 });
  return createHash('sha256')
    .update(JSON.stringify([plan.version, serverArguments(plan), anyPorts]))
    .digest('hex');
}

/**
 * Starts the server and waits until it is ready. After a failure or an abort by `signal`, no process is left.
 * @throws {ServerStartError} with the last lines of its log.
 */
export async function launchServer(
  plan: ServerPlan,
  ports: ServerPorts,
  signal?: AbortSignal,
): Promise<RunningServer> {
  const { child, gone, readLog } = spawnServer(plan, ports);
  const identity = child.pid === undefined ? null : await identifyOrEnd(child.pid, gone);
  if (!identity) throw new ServerStartError(await gone, readLog(), plan.files.logFile);
  const server = { identity, ports, gone };
  try {
    // In the same turn of the event loop as the start, so a kill can't come in between. An unrecorded server must not stay.
    const { directory, databaseFile } = plan.files;
    writeRecord(directory, { process: identity, ports, fingerprint: fingerprint(plan), databaseFile });
    await becomeReady(plan, server, readLog, signal);
    return server;
  } catch (error) {
    await endProcess(identity);
    throw error;
  }
}

/** Uses a separate process group: Ctrl-C must reach us first, to stop the worker while its server still responds. */
function spawnServer(plan: ServerPlan, ports: ServerPorts) {
  const { directory, logFile } = plan.files;
  const log = openLog(logFile);
  const logStart = fstatSync(log).size;
  const args = [...serverArguments(plan), ...portArguments(ports)];
  // The server outlives us after a kill, so it gets none of our environment and none of our secrets.
  const options = {
    cwd: directory,
    detached: true,
    env: {},
    stdio: ['ignore', log, log] as ['ignore', number, number],
  };
  const child = spawn(plan.binaryPath, args, options);
  closeSync(log);
  child.unref();
  const gone = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ? `ended by ${signal}` : `exit code ${code}`));
  });
  return { child, gone, readLog: () => readFileSync(logFile).subarray(logStart).toString() };
}

/** Ends a server that can't be identified, because the next start couldn't find it. */
async function identifyOrEnd(pid: number, gone: Promise<string>): Promise<ProcessIdentity | null> {
  try {
    return identifyProcess(pid);
  } catch (cause) {
    // The process is our child until `gone` resolves, so the pid can't belong to another process.
    process.kill(pid, 'SIGKILL');
    await gone;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `The embedded Temporal server (pid ${pid}) was ended because it can't be identified: ${why}. ` +
        'If descriptors ran out, raise `ulimit -n`.',
      { cause },
    );
  }
}

function openLog(path: string): number {
  const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (sizeBytes > LOG_SIZE_BYTES_MAX) renameSync(path, `${path}.1`);
  return openSync(path, 'a', 0o600);
}

/**
 * A response on the port proves nothing: when two servers race for it, the loser's parent would talk to the winner. The loser
 * never prints the address of its UI, which is the server's last start step.
 */
async function becomeReady(
  plan: ServerPlan,
  server: RunningServer,
  readLog: () => string,
  signal?: AbortSignal,
): Promise<void> {
  const fail = (reason: string) => new ServerStartError(reason, readLog(), plan.files.logFile);
  let end: string | null = null;
  void server.gone.then((reason) => {
    end = reason;
  });
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (!readLog().includes('Temporal UI:') || !(await isServing(addressOf(server.ports)))) {
    if (end !== null) throw fail(end);
    if (Date.now() > deadline) throw fail(`not ready after ${READY_TIMEOUT_MS / 1000} s`);
    await sleep(READY_POLL_MS, undefined, { signal });
  }
  // Another program used the port while this server wanted it. The server doesn't report this and runs on without its metrics.
  const { metrics } = server.ports;
  if (await isFree(metrics))
    throw new ServerStartError(`nobody listens on ${metrics}`, readLog(), plan.files.logFile, true);
}
