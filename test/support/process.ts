// The product from outside: started as a process, watched by what it prints, killed with any signal, and always cleaned up.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ApiClient, createApiClient, eventually } from './api-client.ts';
import { ensureBuilt, PROJECT_DIR } from './built.ts';
import { freePort } from './ports.ts';
import { isRunning, type ListedProcess, processesNaming } from './process-list.ts';

const NO_NAMES = join(PROJECT_DIR, 'test', 'support', 'no-names.cjs');
const MAIN = join(PROJECT_DIR, 'dist', 'main.js');
/** A start takes two to three seconds on two cores; a loaded machine gets the rest. */
const READY_TIMEOUT_MS = 60_000;
const COMMAND_TIMEOUT_MS = 60_000;

/** What the machine that runs the tests may have set, and what would make another server of this one. */
const FOREIGN_VARIABLES = /^(OPENCLAW|ANTHROPIC|TEMPORAL)_|^(PORT|HOST|DATABASE_URL|REDIS_URL|NODE_OPTIONS)$/;

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ServerOptions {
  /** A new one by default, which the cleaning up removes. */
  dataDir?: string;
  /** A free one by default. */
  port?: number;
  env?: Record<string, string>;
  /** Which of the product's commands; `dev` by default. */
  role?: 'dev' | 'api' | 'worker' | 'migrate';
  /** What to run instead of `node dist/main.js dev`, in a process group of its own. */
  command?: string[];
}

export type ServerProcess = ReturnType<typeof spawnServer>;

const running = new Set<{ exit: Promise<Exit>; kill(signal: NodeJS.Signals): void }>();
const directories = new Set<string>();

/** A directory that `cleanUp` removes, with every process that names it in its command line. */
export function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'openclaw-process-'));
  directories.add(directory);
  return directory;
}

export function environment(variables: Record<string, string>): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !FOREIGN_VARIABLES.test(name));
  return { ...Object.fromEntries(own), NODE_OPTIONS: `--require "${NO_NAMES}"`, ...variables };
}

function collect(child: ChildProcess) {
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk;
    });
  return text;
}

const exitOf = (child: ChildProcess): Promise<Exit> =>
  new Promise((resolve, reject) => {
    child.once('error', reject);
    // 'close' comes after the last output, 'exit' may come before it.
    child.once('close', (code, signal) => resolve({ code, signal }));
  });

/** Starts a server and does not wait for it: some are expected to refuse. */
export function spawnServer(options: ServerOptions & { port: number }) {
  ensureBuilt();
  const dataDir = options.dataDir ?? newDirectory();
  const [file = '', ...args] = options.command ?? [process.execPath, MAIN, options.role ?? 'dev'];
  const env = environment({ PORT: String(options.port), OPENCLAW_DATA_DIR: dataDir, ...options.env });
  const spawnedAt = Date.now();
  const child = spawn(file, args, {
    cwd: PROJECT_DIR,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: options.command !== undefined,
  });
  const text = collect(child);
  const exit = exitOf(child);
  const pid = child.pid ?? 0;
  /** Never when it has ended: the number may be another process's by then. */
  const kill = (signal: NodeJS.Signals = 'SIGKILL'): void => {
    if (child.exitCode === null && child.signalCode === null)
      process.kill(options.command ? -pid : pid, signal);
  };
  const entry = { exit, kill };
  running.add(entry);
  void exit.catch(() => undefined).finally(() => running.delete(entry));
  const readyLine = () => /^OpenClaw ready at (\S+)$/m.exec(text.stdout);
  let readyAt: number | undefined;
  child.stdout?.on('data', () => {
    if (readyLine()) readyAt ??= Date.now();
  });

  return {
    pid,
    port: options.port,
    dataDir,
    spawnedAt,
    exit,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    /** When the ready line came. */
    readyAt: (): number | undefined => readyAt,
    /** As the ready line names it. */
    get url(): string {
      return readyLine()?.[1] ?? '';
    },
    /** Calls with the first admin key. */
    get api(): ApiClient {
      return createApiClient(this.url, readFileSync(join(dataDir, 'admin.key'), 'utf8').trim());
    },
    /** Rejects when the process ends first. */
    async ready(): Promise<void> {
      let ended: Exit | undefined;
      void exit.then((how) => {
        ended = how;
      });
      const isUp = async () => readyLine() !== null || ended !== undefined;
      await eventually(isUp, Boolean, READY_TIMEOUT_MS);
      if (!readyLine()) throw new Error(`The server ended (${JSON.stringify(ended)}): ${text.stderr}`);
    },
    /** A `command` gets it as a terminal sends it: with all that it has started in its process group. */
    kill,
    /** Its Temporal server, also one that has outlived it. */
    temporal: (): ListedProcess | undefined => temporalOf(dataDir),
    async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
      kill(signal);
      return exit;
    },
  };
}

/** The embedded Temporal server of a data directory, found by its database. */
export const temporalOf = (dataDir: string): ListedProcess | undefined =>
  processesNaming(join(dataDir, 'temporal'))[0];

/** Starts a server and waits until it says that it is ready. */
export async function startServer(options: ServerOptions = {}): Promise<ServerProcess> {
  const server = spawnServer({ ...options, port: options.port ?? (await freePort()) });
  await server.ready();
  return server;
}

export interface Finished extends Exit {
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. */
export async function run(
  file: string,
  args: string[],
  env: Record<string, string> = {},
  timeoutMs = COMMAND_TIMEOUT_MS,
): Promise<Finished> {
  const child = spawn(file, args, {
    cwd: PROJECT_DIR,
    env: environment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  const text = collect(child);
  return { ...(await exitOf(child)), ...text };
}

/** Runs one of the product's other commands. */
export function openclaw(args: string[], env: Record<string, string>): Promise<Finished> {
  ensureBuilt();
  return run(process.execPath, [MAIN, ...args], env);
}

/** Sends SIGKILL, as `kill -9` does, and waits until the process is gone; without effect when there is none. */
export async function kill9(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  await eventually(
    async () => isRunning(pid),
    (runs) => !runs,
  );
}

/** Ends and removes all that this suite has started and made, however its tests went. For `afterAll` or `afterEach`. */
export async function cleanUp(): Promise<void> {
  for (const { exit, kill } of [...running]) {
    kill('SIGKILL');
    await exit.catch(() => undefined);
  }
  for (const directory of directories) {
    await Promise.all(processesNaming(directory).map(({ pid }) => kill9(pid)));
    rmSync(directory, { recursive: true, force: true });
    directories.delete(directory);
  }
}
