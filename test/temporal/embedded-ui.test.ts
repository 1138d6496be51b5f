// Where the embedded Temporal UI is: at one address for as long as a data directory lives.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { locateBinary, TEMPORAL_CLI } from '../../src/temporal/binary.ts';
import { serverFiles, writeRecord } from '../../src/temporal/embedded-record.ts';
import {
  type EmbeddedTemporal,
  type EmbeddedTemporalOptions,
  startEmbeddedTemporal,
} from '../../src/temporal/embedded-server.ts';
import { choosePorts } from '../../src/temporal/free-ports.ts';
import { identifyProcess, type ProcessIdentity } from '../../src/temporal/process-identity.ts';
import { freePort } from '../support/ports.ts';
import { processesNaming } from '../support/process-list.ts';

const FETCH_TIMEOUT_MS = 300_000;

let binaryPath: string;
let dataDir: string;
let preferredPort: number;
let uiPort: number;
let messages: string[];
let toStop: EmbeddedTemporal[];

beforeAll(async () => {
  const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');
  const searchPath = process.env.PATH ?? '';
  binaryPath = (await locateBinary(TEMPORAL_CLI, { cacheDir, searchPath, onProgress: () => {} })).path;
}, FETCH_TIMEOUT_MS);

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'openclaw-temporal-'));
  const first = {
    remembered: null,
    preferredGrpc: await freePort(),
    uiHost: '127.0.0.1',
    lost: new Set<number>(),
  };
  preferredPort = (await choosePorts(first)).grpc;
  uiPort = preferredPort + 1_000;
  messages = [];
  toStop = [];
});

afterEach(async () => {
  for (const server of toStop) await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

async function start(overrides: Partial<EmbeddedTemporalOptions> = {}): Promise<EmbeddedTemporal> {
  const remember = (_details: Record<string, unknown>, message: string) => void messages.push(message);
  const server = await startEmbeddedTemporal({
    ...{ dataDir, binaryPath, version: TEMPORAL_CLI.version, searchAttributes: {}, preferredPort },
    log: { info: remember, warn: remember, error: remember },
    onLost: () => {},
    ...overrides,
  });
  toStop.push(server);
  return server;
}

async function listen(port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** As an earlier release wrote it down. */
function writeOldRecord(running: ProcessIdentity | null = null): void {
  const files = serverFiles(dataDir, TEMPORAL_CLI.version);
  mkdirSync(files.directory, { recursive: true });
  const ports = { grpc: preferredPort, ui: uiPort };
  writeRecord(files.directory, {
    process: running,
    ports,
    fingerprint: 'any',
    databaseFile: files.databaseFile,
  });
}

describe('the port of the UI', () => {
  test('stays where it was when all other ports are taken', async () => {
    const first = await start();
    await first.stop();
    const foreign = await listen(first.ports.grpc);
    const second = await start();
    foreign.close();
    expect(second.address).not.toBe(first.address);
    expect(second.uiUrl).toBe(first.uiUrl);
    expect(second.uiMovedFrom).toBeNull();
  });

  test('moves when another program has its port, says so, and stays there', async () => {
    const first = await start();
    await first.stop();
    const foreign = await listen(uiPort);
    const second = await start();
    foreign.close();
    expect(second.uiUrl).not.toBe(first.uiUrl);
    expect(second.uiMovedFrom).toBe(uiPort);
    expect(messages).toContain('the port of the Temporal UI is in use by another program');
    await second.stop();
    const third = await start();
    expect([third.uiUrl, third.uiMovedFrom]).toEqual([second.uiUrl, null]);
  });

  test('stays where an earlier release had it', async () => {
    writeOldRecord();
    const server = await start({ preferredPort: await freePort() });
    expect(server.uiUrl).toBe(`http://127.0.0.1:${uiPort}`);
  });

  test('stays where an earlier release has it, whose killed run left its server there', async () => {
    const serve = `require('node:net').createServer().listen(${uiPort}, '127.0.0.1', () => console.log('up'))`;
    const leftOver = spawn(process.execPath, ['-e', serve], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(leftOver.stdout, 'data');
    writeOldRecord(identifyProcess(leftOver.pid ?? 0));
    const server = await start({ preferredPort: await freePort() });
    expect(server.uiUrl).toBe(`http://127.0.0.1:${uiPort}`);
    expect(server.uiMovedFrom).toBeNull();
  });

  test('is the one that the operator names, or the start ends', async () => {
    const named = await freePort();
    const server = await start({ uiPort: named });
    expect(server.uiUrl).toBe(`http://127.0.0.1:${named}`);
    await server.stop();
    const foreign = await listen(named);
    await expect(start({ uiPort: named })).rejects.toThrow(
      new RegExp(`OPENCLAW_TEMPORAL_UI_PORT: port ${named}`),
    );
    expect(processesNaming(dataDir)).toEqual([]);
    foreign.close();
  });
});
