// A real PostgreSQL for one run: Debian's binaries, its own directory and port, never as root.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from './ports.ts';

const DEBIAN_DIR = '/usr/lib/postgresql';

export interface TestPostgres {
  /** Of the maintenance database; suites make databases of their own. */
  url: string;
  port: number;
  /** The first of its processes, the parent of the others. */
  process: ChildProcess;
  /** Ends it like a power cut of the process; the data stay. */
  kill(): Promise<void>;
  /** Starts it again on the same data and port. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** The directory of the server's binaries, or undefined when PostgreSQL is not installed. */
export function findPostgres(): string | undefined {
  if (!existsSync(DEBIAN_DIR)) return undefined;
  const versions = readdirSync(DEBIAN_DIR).sort((a, b) => Number(b) - Number(a));
  return versions
    .map((version) => join(DEBIAN_DIR, version, 'bin'))
    .find((bin) => existsSync(join(bin, 'initdb')));
}

const isRoot = process.getuid?.() === 0;

/** PostgreSQL refuses to run as root: its own user does. */
const asItsUser = (command: string, args: string[]): [string, string[]] =>
  isRoot
    ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', command, ...args]]
    : [command, args];

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`PostgreSQL: ${what} never came true`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** @param parent Where its directory is made; on a disk of its own, for one. */
export async function startPostgres(bin: string, parent = tmpdir()): Promise<TestPostgres> {
  const directory = mkdtempSync(join(parent, 'openclaw-postgres-'));
  if (isRoot) execFileSync('chown', ['postgres:postgres', directory]);
  chmodSync(directory, 0o700);
  const data = join(directory, 'data');
  const [initdb, initdbArgs] = asItsUser(join(bin, 'initdb'), [
    '-D',
    data,
    '-U',
    'openclaw',
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--no-sync',
  ]);
  execFileSync(initdb, initdbArgs, { stdio: 'ignore' });
  const port = await freePort();
  const url = `postgres://openclaw@127.0.0.1:${port}/postgres`;
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const settings = [
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      `unix_socket_directories=${directory}`,
      '-c',
      'max_connections=200',
    ];
    const [command, args] = asItsUser(join(bin, 'postgres'), ['-D', data, '-p', String(port), ...settings]);
    const isUp = async () => {
      // After a kill it refuses to start until the last of its old children has noticed and is gone.
      if (hasEnded()) child = spawn(command, args, { stdio: 'ignore' });
      return answers(url);
    };
    await until(isUp, 'that it answers');
  }

  const hasEnded = () => !child || child.exitCode !== null || child.signalCode !== null;

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (!child || hasEnded()) return;
    const gone = new Promise((resolve) => child?.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  await start();
  return {
    url,
    port,
    get process() {
      return child!;
    },
    kill: () => end('SIGKILL'),
    start,
    async stop() {
      // SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
      await end('SIGINT');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A new, empty database on that server. @returns its address. */
export async function createDatabase(url: string, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`create database ${name}`);
  } finally {
    await client.end();
  }
  const address = new URL(url);
  address.pathname = `/${name}`;
  return address.href;
}
