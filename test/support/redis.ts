// A real Redis for one run: Debian's binary, its own directory and port, nothing kept on disk.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './api-client.ts';
import { freePort } from './ports.ts';

const BINARY = '/usr/bin/redis-server';

export interface TestRedis {
  url: string;
  port: number;
  /** The present one. */
  process: ChildProcess;
  /** Ends it at once; what it held is gone. */
  kill(): Promise<void>;
  /** Starts it again, empty, on the same port. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface TestRedisOptions {
  password?: string;
}

/** Sends one command as text. @returns what comes back first, or '' when nobody answers. */
function say(port: number, command: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`));
    const done = (answer: string) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => done(''));
    socket.once('data', (data) => done(data.toString())).once('error', () => done(''));
  });
}

/** @throws {Error} with what to install. */
export async function startRedis({ password }: TestRedisOptions = {}): Promise<TestRedis> {
  if (!existsSync(BINARY)) throw new Error('Redis is not installed: apt-get install redis-server');
  const directory = mkdtempSync(join(tmpdir(), 'openclaw-redis-'));
  const port = await freePort();
  const settings = ['--bind', '127.0.0.1', '--port', String(port), '--dir', directory];
  const secret = password === undefined ? [] : ['--requirepass', password];
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const args = [...settings, '--save', '', '--appendonly', 'no', ...secret];
    child = spawn(BINARY, args, { stdio: 'ignore' });
    // One that wants a password says so to who has none; both are answers.
    await eventually(
      () => say(port, 'PING'),
      (answer) => /^[+-]/.test(answer),
    );
  }

  async function kill(): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child?.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  await start();
  return {
    url: `redis://${password === undefined ? '' : `:${password}@`}127.0.0.1:${port}`,
    port,
    get process() {
      return child!;
    },
    ...{ kill, start },
    async stop() {
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
