// The real dev server throughout. What is killed here with -9 is what people and machines kill.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { locateBinary, TEMPORAL_CLI } from '../../src/temporal/binary.ts';
import { readRecord, serverFiles, writeRecord } from '../../src/temporal/embedded-record.ts';
import {
  type EmbeddedTemporal,
  type EmbeddedTemporalOptions,
  startEmbeddedTemporal,
} from '../../src/temporal/embedded-server.ts';
import { choosePorts, isFree, type ServerPorts } from '../../src/temporal/free-ports.ts';
import {
  endProcess,
  identifyProcess,
  isRunning,
  type ProcessIdentity,
} from '../../src/temporal/process-identity.ts';
import { itLong } from '../support/long.ts';
import { freePort } from '../support/ports.ts';
import { processesNaming } from '../support/process-list.ts';

const VERSION: string = TEMPORAL_CLI.version;
const WAIT_TIMEOUT_MS = 20_000;

// A first run on a machine fetches the binary.
const FETCH_TIMEOUT_MS = 300_000;

// Two probes fit in: a start that took any answer for its own would have ended by then. Nothing else shows that it waits.
const MISTAKE_WINDOW_SECONDS = 2.2;

/** Of a first start. */
const choice = (preferredGrpc: number) => ({
  remembered: null,
  preferredGrpc,
  uiHost: '127.0.0.1',
  lost: new Set<number>(),
});

let binaryPath: string;
let dataDir: string;
let ports: { preferredPort: number };
let uiPort: number;
let messages: string[];
let toStop: EmbeddedTemporal[];
let toEnd: ProcessIdentity[];

beforeAll(async () => {
  const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');
  const searchPath = process.env.PATH ?? '';
  binaryPath = (await locateBinary(TEMPORAL_CLI, { cacheDir, searchPath, onProgress: () => {} })).path;
}, FETCH_TIMEOUT_MS);

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'openclaw-temporal-'));
  const preferredPort = await freePort();
  // With those beside it: another suite may have one of them.
  const { grpc } = await choosePorts(choice(preferredPort));
  ports = { preferredPort: grpc };
  uiPort = grpc + 1_000;
  messages = [];
  toStop = [];
  toEnd = [];
});

afterEach(async () => {
  for (const server of toStop) await server.stop();
  const leftOver = toEnd.filter(isRunning);
  for (const identity of leftOver) await endProcess(identity);
  rmSync(dataDir, { recursive: true, force: true });
  expect(leftOver).toEqual([]);
});

function options(overrides: Partial<EmbeddedTemporalOptions> = {}): EmbeddedTemporalOptions {
  const remember = (_details: Record<string, unknown>, message: string) => void messages.push(message);
  const log = { info: remember, warn: remember, error: remember };
  const searchAttributes = { ClawStatus: 'Keyword' } as const;
  const onLost = () => {};
  return { dataDir, binaryPath, version: VERSION, searchAttributes, log, onLost, ...ports, ...overrides };
}

async function start(overrides: Partial<EmbeddedTemporalOptions> = {}): Promise<EmbeddedTemporal> {
  const server = await startEmbeddedTemporal(options(overrides));
  toStop.push(server);
  remember(server.pid());
  return server;
}

/** Every process of a test is looked for at its end. */
function remember(pid: number): ProcessIdentity {
  const identity = identifyProcess(pid);
  if (!identity) throw new Error(`no process ${pid}`);
  toEnd.push(identity);
  return identity;
}

/** The server of a run that was killed with -9: started by a Node process of its own, which then dies. */
async function leftOver(overrides: Partial<EmbeddedTemporalOptions> = {}): Promise<ProcessIdentity> {
  const given = JSON.stringify({ ...options(overrides), log: undefined });
  const script = `require(${JSON.stringify(join(__dirname, 'run-typescript.cjs'))});
    const { startEmbeddedTemporal } = require(${JSON.stringify(join(__dirname, '../../src/temporal/embedded-server.ts'))});
    const log = { info() {}, warn() {}, error() {} };
    startEmbeddedTemporal({ ...${given}, log }).then((server) => process.stdout.write(String(server.pid())));`;
  const parent = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [pid] = await once(parent.stdout, 'data');
  const identity = remember(Number(pid));
  await killHard(parent);
  return identity;
}

async function killHard(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + WAIT_TIMEOUT_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${WAIT_TIMEOUT_MS} ms for ${condition}`);
    await sleep(10);
  }
}

async function listen(port = 0): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function withClient<T>(address: string, use: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address });
  try {
    return await use(new Client({ connection }));
  } finally {
    await connection.close();
  }
}

const startWorkflow = (address: string, workflowId: string) =>
  withClient(address, (client) =>
    client.workflow.start('any', { workflowId, taskQueue: 'nobody', args: [] }),
  );

const describeWorkflow = (address: string, workflowId: string) =>
  withClient(address, (client) => client.workflow.getHandle(workflowId).describe());

const record = (version = VERSION) => readRecord(serverFiles(dataDir, version));

/** A binary that runs these lines of shell before it becomes the real one. */
function wrapper(lines: string): string {
  const path = join(dataDir, 'wrapper');
  writeFileSync(path, `#!/bin/sh\n${lines}\nexec ${binaryPath} "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Ctrl-C reaches a process group; an environment may be read by everybody who may read the process. */
function expectDetached(pid: number): void {
  expect(() => process.kill(-pid, 0)).not.toThrow();
  if (existsSync('/proc')) expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toBe('');
}

describe('start and stop', () => {
  test('serves calls and its UI on the preferred ports, and keeps both and its data over a stop and a start', async () => {
    const first = await start();
    expect(first.address).toBe(`127.0.0.1:${ports.preferredPort}`);
    expect(first.uiUrl).toBe(`http://127.0.0.1:${uiPort}`);
    expect((await fetch(first.uiUrl)).status).toBe(200);
    expectDetached(first.pid());
    await startWorkflow(first.address, 'kept');
    await first.stop();
    expect(record()?.process).toBeNull();

    const second = await start({ preferredPort: await freePort() });
    expect([second.address, second.uiUrl]).toEqual([first.address, first.uiUrl]);
    expect(second.adopted).toBe(false);
    expect((await describeWorkflow(second.address, 'kept')).status.name).toBe('RUNNING');
  });

  test.each(['grpc', 'http', 'metrics', 'uiBackend'] as const)(
    'takes other ports, all in step, when the preferred one of %s is in use',
    async (name) => {
      const grpc = ports.preferredPort;
      const preferred = { grpc, http: grpc + 10, metrics: grpc + 20, uiBackend: grpc + 30 };
      const foreign = await listen(preferred[name]);
      const chosen = await choosePorts(choice(grpc));
      foreign.close();
      const steps = Object.entries(chosen).map(([key, port]) => port - preferred[key as keyof ServerPorts]);
      expect(steps[0]).toBeGreaterThan(0);
      expect(new Set(steps).size).toBe(1);
    },
  );

  test('tries other ports when another Temporal takes them after the choice, and does not mistake it for its own', async () => {
    const foreignPid = join(dataDir, 'foreign.pid');
    const address = `127.0.0.1:${ports.preferredPort}`;
    const foreign = `${binaryPath} server start-dev --headless --ip 127.0.0.1 --port ${ports.preferredPort}`;
    const raced = `[ -e ${foreignPid} ] || {
      ${foreign} >/dev/null 2>&1 & echo $! >${foreignPid}
      until ${binaryPath} operator cluster health --address ${address} >/dev/null 2>&1; do :; done
      sleep ${MISTAKE_WINDOW_SECONDS}
    }`;
    const server = await start({ binaryPath: wrapper(raced) });
    const winner = remember(Number(readFileSync(foreignPid, 'utf8')));
    expect(server.address).not.toBe(address);
    expect(isRunning(winner)).toBe(true);
    await endProcess(winner);
  });

  test('tries other ports when the server runs without its metrics port, which another one had as it started', async () => {
    const started = join(dataDir, 'started');
    const elsewhere = `set -- "$@" --metrics-port ${await freePort()}`;
    const server = await start({
      binaryPath: wrapper(`[ -e ${started} ] || { touch ${started}; ${elsewhere}; }`),
    });
    expect(server.ports.grpc).not.toBe(ports.preferredPort);
    expect(await isFree(server.ports.metrics)).toBe(false);
    expect(await isFree(ports.preferredPort)).toBe(true);
  });

  test('shows the last lines of the log when the server ends at once', async () => {
    const failed = start({ binaryPath: wrapper('echo the disk is full; exit 3') });
    await expect(failed).rejects.toThrow(/exit code 3[\s\S]*server\.log:\nthe disk is full/);
  });

  test('leaves no process when it can not be written down', async () => {
    mkdirSync(join(serverFiles(dataDir, VERSION).directory, 'server.json.new'), { recursive: true });
    await expect(start()).rejects.toThrow(/EISDIR/);
    expect(processesNaming(dataDir)).toEqual([]);
  });

  test('says which binary is missing', async () => {
    await expect(start({ binaryPath: join(dataDir, 'missing') })).rejects.toThrow(/missing ENOENT/);
  });

  test('can be stopped by several at once, and ends a server that does not heed SIGTERM', async () => {
    const server = await start();
    process.kill(server.pid(), 'SIGSTOP');
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
    expect(toEnd.filter(isRunning)).toEqual([]);
  });
});

describe('supervision', () => {
  test('a killed server comes back on the same port, with its data', async () => {
    const server = await start();
    await startWorkflow(server.address, 'kept');
    const killed = server.pid();
    process.kill(killed, 'SIGKILL');
    await until(() => server.pid() !== killed);
    remember(server.pid());
    expect((await describeWorkflow(server.address, 'kept')).status.name).toBe('RUNNING');
    expect(record()?.process?.pid).toBe(server.pid());
  });

  test('it is tried again until it starts', async () => {
    const broken = join(dataDir, 'broken');
    const server = await start({ binaryPath: wrapper(`[ ! -e ${broken} ] || { rm ${broken}; exit 1; }`) });
    writeFileSync(broken, '');
    const killed = server.pid();
    process.kill(killed, 'SIGKILL');
    await until(() => server.pid() !== killed);
    remember(server.pid());
    expect(messages).toContain('the embedded Temporal server could not be started again');
  });

  test('it is given up when another program keeps one of its ports, and the next start takes others', async () => {
    const down = join(dataDir, 'down');
    const lost: Error[] = [];
    const server = await start({
      binaryPath: wrapper(`while [ -e ${down} ]; do sleep 0.01; done`),
      onLost: (error) => lost.push(error),
      portTakenMsMax: 300,
    });
    writeFileSync(down, '');
    process.kill(server.pid(), 'SIGKILL');
    const { http } = server.ports;
    await until(async () => isFree(http));
    const foreign = await listen(http);
    rmSync(down);
    await until(() => lost.length > 0);
    expect(lost[0]?.message).toMatch(new RegExp(`${http}.*Start again`));
    await server.stop();

    const next = await start();
    expect(next.ports.http).not.toBe(http);
    expect(next.uiUrl).toBe(server.uiUrl);
    expect(lost).toHaveLength(1);
    foreign.close();
  });

  test('a stop during a restart leaves nothing running', async () => {
    const server = await start();
    const killed = server.pid();
    process.kill(killed, 'SIGKILL');
    await until(() => (record()?.process?.pid ?? killed) !== killed);
    remember(record()?.process?.pid ?? 0);
    await server.stop();
    expect(toEnd.filter(isRunning)).toEqual([]);
    expect(record()?.process).toBeNull();
  });
});

function writeStaleRecord(dir: string, process: ProcessIdentity | null, databaseFile?: string): void {
  const files = serverFiles(dir, VERSION);
  mkdirSync(files.directory, { recursive: true });
  const stale = {
    process,
    // As an earlier release wrote it down.
    ports: { grpc: ports.preferredPort, ui: uiPort },
    fingerprint: 'any',
    databaseFile: databaseFile ?? files.databaseFile,
  };
  writeRecord(files.directory, stale);
}

describe('the server of a killed run', () => {
  test('is adopted, kept alive and stopped like an own one', async () => {
    const old = await leftOver();
    const server = await start({ preferredPort: await freePort() });
    expect(server.adopted).toBe(true);
    expect(server.pid()).toBe(old.pid);
    expect(server.address).toBe(`127.0.0.1:${ports.preferredPort}`);

    process.kill(old.pid, 'SIGKILL');
    await until(() => server.pid() !== old.pid);
    remember(server.pid());
    expect((await fetch(server.uiUrl)).status).toBe(200);
  });

  test('is ended by stop when it was adopted', async () => {
    const old = await leftOver();
    await (await start()).stop();
    expect(isRunning(old)).toBe(false);
  });

  test('is replaced on its ports when the options have changed', async () => {
    const old = await leftOver();
    const server = await start({ searchAttributes: { ClawStatus: 'Keyword', ClawModel: 'Keyword' } });
    expect(server.adopted).toBe(false);
    expect(server.address).toBe(`127.0.0.1:${ports.preferredPort}`);
    expect(isRunning(old)).toBe(false);
  });

  itLong('is replaced when it does not answer', async () => {
    const old = await leftOver();
    process.kill(old.pid, 'SIGSTOP');
    const server = await start();
    expect(server.pid()).not.toBe(old.pid);
    expect(isRunning(old)).toBe(false);
  });

  test('is ended when it is of another version, whose data are kept apart', async () => {
    const old = await leftOver({ version: '1.0.0' });
    const server = await start();
    expect(isRunning(old)).toBe(false);
    expect(server.address).toBe(`127.0.0.1:${ports.preferredPort}`);
    expect(record('1.0.0')?.process).toBeNull();
    expect(existsSync(join(dataDir, 'temporal', '1.0.0', 'temporal.db'))).toBe(true);
  });

  test('is not looked for in a process that merely has its pid now', async () => {
    const innocent = spawn('sleep', ['60']);
    writeStaleRecord(dataDir, { pid: innocent.pid ?? 0, startTime: 'long ago' });
    expect((await start()).adopted).toBe(false);
    expect(innocent.signalCode).toBeNull();
    await killHard(innocent);
  });

  test('is left alone when its data directory was copied while it ran', async () => {
    const original = await start();
    const identity = identifyProcess(original.pid());
    const copy = join(dataDir, 'copy');
    writeStaleRecord(copy, identity, serverFiles(dataDir, VERSION).databaseFile);
    expect((await start({ dataDir: copy })).adopted).toBe(false);
    expect(identifyProcess(original.pid())).toEqual(identity);
  });

  test('is not missed when server.json is damaged', async () => {
    const { directory } = serverFiles(dataDir, VERSION);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'server.json'), '{"process":');
    expect((await start()).adopted).toBe(false);
  });
});
