// One run of the dev server: its command line, its process, and the moment from which on it serves.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, renameSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isServing } from './embedded-health.ts';
import { type ServerFiles, writeRecord } from './embedded-record.ts';
import { isFree, LOCALHOST, type ServerPorts } from './free-ports.ts';
import { endProcess, identifyProcess, type ProcessIdentity } from './process-identity.ts';

// Measured: 0.5 to 1.2 s on two cores. A loaded machine with a big database gets the rest.
const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 20;

// At this size the log of earlier runs is set aside, one generation of it; the server itself never cuts it.
const LOG_SIZE_BYTES_MAX = 1_000_000;

const LOG_LINES_SHOWN = 15;

// The top-level domain `.invalid` never exists (RFC 6761).
const HTTP_API_HOST = 'http-api-is-off.invalid';

/** What stays the same when the server is started again. */
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

/** Temporal's database and log of a first start fill a part of this. */
const FREE_MB_MIN = 16;

/** On a full disk the server often ends without a word. */
function roomHint(directory: string): string {
  const { blocks, bavail, bsize } = statfsSync(directory);
  const freeMb = Math.floor((bavail * bsize) / 1e6);
  if (blocks === 0 || freeMb >= FREE_MB_MIN) return '';
  return `. The disk of ${directory} has only ${freeMb} MB free: make room, or set OPENCLAW_DATA_DIR to another disk`;
}

/** The server ended before it served, or did not serve in time. */
export class ServerStartError extends Error {
  override readonly name = 'ServerStartError';
  readonly portTaken: boolean;

  constructor(reason: string, log: string, logFile: string, portTaken = false) {
    // What follows this line is a Go stack of a hundred lines that says nothing to an operator.
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
    // The UI would report each visit to the makers of Temporal.
    '--ui-disable-news-fetch',
    ...['--db-filename', plan.files.databaseFile],
    // A commit is in the file when it returns, not on the platter: it survives kill -9, and the store is what a power cut spares.
    ...['--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=1'],
    // Histories of deleted sessions are overwritten in the file.
    ...['--sqlite-pragma', 'secure_delete=1'],
    // The HTTP API can't be switched off, and any web page could post to it. It answers one Host only, which no name server knows.
    ...['--dynamic-config-value', `frontend.httpAllowedHosts=["${HTTP_API_HOST}"]`],
    // The defaults are made for many shards; with the dev server's one they hold up each task 50 ms and each timer 1 s.
    ...['--dynamic-config-value', 'history.transferProcessorMaxPollRPS=2000'],
    ...['--dynamic-config-value', 'history.timerProcessorMaxPollRPS=2000'],
    ...['--dynamic-config-value', 'history.timerProcessorMaxTimeShift="20ms"'],
    // A workflow task that was late three times is given ever more time, up to 10 minutes: nobody would wait for that.
    ...['--dynamic-config-value', 'history.workflowTaskRetryMaxInterval="10s"'],
    // A deleted run is erased after these queues have noted its close. The default of 30 s delays that by minutes on a busy server.
    ...['--dynamic-config-value', 'history.transferProcessorUpdateAckInterval="2s"'],
    ...['--dynamic-config-value', 'history.visibilityProcessorUpdateAckInterval="2s"'],
    // It keeps 128,000 workflows for an hour after their last event, 30 KiB each: the disk is near. A worker keeps fewer.
    ...['--dynamic-config-value', 'history.hostLevelCacheMaxSize=1000'],
    // These count only when the database is new (measured: an existing one ignores them without a word);
    // `ensureSearchAttributes` adds what a later release wants more.
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

/** Equal for two servers that differ in nothing but their ports. */
export function fingerprint(plan: ServerPlan): string {
  const anyPorts = portArguments({ grpc: 0, http: 0, metrics: 0, uiBackend: 0 });
  return createHash('sha256')
    .update(JSON.stringify([plan.version, serverArguments(plan), anyPorts]))
    .digest('hex');
}

/**
 * Starts the server and waits until it serves. When it does not, or when `signal` aborts, no process is left.
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
    // In the turn that started it, so that no kill falls between. One that can't be written down must not stay.
    const { directory, databaseFile } = plan.files;
    writeRecord(directory, { process: identity, ports, fingerprint: fingerprint(plan), databaseFile });
    await becomeReady(plan, server, readLog, signal);
    return server;
  } catch (error) {
    await endProcess(identity);
    throw error;
  }
}

/** In a process group of its own: Ctrl-C must reach us first, to stop the worker while its server still answers. */
function spawnServer(plan: ServerPlan, ports: ServerPorts) {
  const { directory, logFile } = plan.files;
  const log = openLog(logFile);
  const logStart = fstatSync(log).size;
  const args = [...serverArguments(plan), ...portArguments(ports)];
  // It outlives us when we are killed, so it gets none of our environment and with it none of our secrets.
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

/** A server that can't be written down must not stay: the next start would not find it. */
async function identifyOrEnd(pid: number, gone: Promise<string>): Promise<ProcessIdentity | null> {
  try {
    return identifyProcess(pid);
  } catch (cause) {
    // Ours until `gone` resolves, so the pid can't be another process's.
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
 * An answer on the port is no proof: when two servers race for it, the loser's starter would be talking to the winner.
 * The loser never prints where its UI is, which the server does last.
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
  // Another one had it while this one wanted it. The server says nothing of that, and runs on without its metrics.
  const { metrics } = server.ports;
  if (await isFree(metrics))
    throw new ServerStartError(`nobody listens on ${metrics}`, readLog(), plan.files.logFile, true);
}
