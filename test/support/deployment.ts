// The product as a deployment: `api` and `worker` processes over a PostgreSQL, a Temporal server and, if asked for, a Redis of
// their own, each of which can be killed, stopped and brought back by its name.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { locateBinary, TEMPORAL_CLI } from '../../src/temporal/binary.ts';
import { type EmbeddedTemporal, startEmbeddedTemporal } from '../../src/temporal/embedded-server.ts';
import { type ApiClient, createApiClient, eventually } from './api-client.ts';
import { freePort } from './ports.ts';
import { createDatabase, findPostgres, startPostgres, type TestPostgres } from './postgres.ts';
import { kill9, newDirectory, type ServerProcess, spawnServer } from './process.ts';
import { descendantsOf } from './process-list.ts';
import { startRedis, type TestRedis } from './redis.ts';

export const ADMIN_KEY = 'admin-key-of-the-deployment';
const SECRET_KEY = 'secret-of-the-whole-deployment';
/** Far beyond every start and recovery that was measured. */
const READY_MS_MAX = 60_000;

type Role = 'api' | 'worker';

export interface DeploymentPart {
  /** `api-1`, `worker-2`, `postgres`, `temporal`, `redis`. */
  name: string;
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGSTOP and SIGCONT; without effect when it does not run. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void;
  /** Starts it again in the same place after `kill`. Resolves when it runs. */
  revive(): Promise<void>;
}

export interface ProcessPart extends DeploymentPart {
  role: Role;
  url: string;
  /** The present life. */
  process(): ServerProcess;
  lives(): readonly ServerProcess[];
  client: ApiClient;
}

export interface DeploymentOptions {
  apis?: number;
  workers?: number;
  /** With a Redis for hints and shared limits. */
  redis?: boolean;
  /** Address of a Messages API; each worker's built-in simulator without it. */
  modelUrl?: string;
  env?: Record<string, string>;
  /** Where each role finds the servers, if not at their own addresses. */
  links?: (servers: Servers) => Promise<Partial<Record<Role, Record<string, string>>>>;
}

/** Addresses as the processes are told them. */
interface Servers {
  DATABASE_URL: string;
  TEMPORAL_ADDRESS: string;
  REDIS_URL: string | undefined;
}

export type Deployment = Awaited<ReturnType<typeof startDeployment>>;

const silent = { info() {}, warn() {}, error: console.error };

async function startTemporal(): Promise<EmbeddedTemporal> {
  const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');
  const onProgress = (line: string) => console.error(line);
  const binary = await locateBinary(TEMPORAL_CLI, {
    cacheDir,
    searchPath: process.env.PATH ?? '',
    onProgress,
  });
  return startEmbeddedTemporal({
    dataDir: newDirectory(),
    binaryPath: binary.path,
    version: TEMPORAL_CLI.version,
    // As on a server that nobody has prepared: the product adds its own.
    searchAttributes: {},
    log: silent,
    onLost: (error) => console.error(error),
  });
}

const send = (pids: number[], name: NodeJS.Signals): void => {
  for (const pid of pids)
    try {
      process.kill(pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
};

const postgresPart = (postgres: TestPostgres): DeploymentPart => ({
  name: 'postgres',
  kill: postgres.kill,
  // Its children serve the connections.
  signal(name) {
    const pid = postgres.process.pid ?? 0;
    send([pid, ...descendantsOf(pid).map((child) => child.pid)], name);
  },
  revive: postgres.start,
});

function temporalPart(temporal: EmbeddedTemporal): DeploymentPart {
  let killed: number | undefined;
  return {
    name: 'temporal',
    async kill() {
      killed = temporal.pid();
      await kill9(killed);
    },
    signal: (name) => send([temporal.pid()], name),
    /** It is started again on its data and ports by itself, at once. */
    async revive() {
      const pid = async () => temporal.pid();
      await eventually(pid, (present) => present !== killed, READY_MS_MAX);
    },
  };
}

const redisPart = (redis: TestRedis): DeploymentPart => ({
  name: 'redis',
  kill: redis.kill,
  signal: (name) => redis.process.kill(name),
  revive: redis.start,
});

interface Place {
  name: string;
  role: Role;
  port: number;
  env: Record<string, string>;
}

function processPart({ name, role, port, env }: Place): ProcessPart {
  const dataDir = newDirectory();
  const url = `http://127.0.0.1:${port}`;
  const lives: ServerProcess[] = [];
  const current = (): ServerProcess => lives.at(-1)!;
  return {
    ...{ name, role, url },
    process: current,
    lives: () => lives,
    client: createApiClient(url, ADMIN_KEY),
    async kill() {
      current().kill('SIGKILL');
      await current().exit;
    },
    signal: (signal) => current().kill(signal),
    /** As a supervisor does: one that ends because its servers are not back yet is started again. */
    async revive() {
      const start = async () => {
        lives.push(spawnServer({ role, port, dataDir, env }));
        return current()
          .ready()
          .then(() => null)
          .catch((error: Error) => error);
      };
      const mayStart = (error: Error | null) =>
        !error || !/^(DATABASE_URL|TEMPORAL_ADDRESS): /m.test(error.message);
      const failure = await eventually(start, mayStart, READY_MS_MAX);
      if (failure) throw failure;
    },
  };
}

async function startServers(withRedis: boolean) {
  const bin = findPostgres();
  if (!bin) throw new Error('PostgreSQL is not installed: apt-get install postgresql');
  const [postgres, temporal, redis] = await Promise.all([
    startPostgres(bin),
    startTemporal(),
    withRedis ? startRedis() : null,
  ]);
  return { postgres, temporal, redis, databaseUrl: await createDatabase(postgres.url, 'openclaw') };
}

/** Starts everything at once, as a process manager does, and waits until it serves. End it with `stop`, then `cleanUp`. */
export async function startDeployment(options: DeploymentOptions = {}) {
  const { apis = 2, workers = 2, modelUrl } = options;
  const { postgres, temporal, redis, databaseUrl } = await startServers(options.redis ?? false);
  const env = {
    // These suites ask more often than any client should.
    OPENCLAW_RATE_LIMIT_PER_MINUTE: '1000000',
    OPENCLAW_API_KEY: ADMIN_KEY,
    OPENCLAW_SECRET_KEY: SECRET_KEY,
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: temporal.address,
    ...(redis ? { REDIS_URL: redis.url } : {}),
    ...(modelUrl ? { ANTHROPIC_BASE_URL: modelUrl } : {}),
    ...options.env,
  };
  const ofLinks = await options.links?.({
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: temporal.address,
    REDIS_URL: redis?.url,
  });
  const processes: ProcessPart[] = [];
  const servers = [postgresPart(postgres), temporalPart(temporal), ...(redis ? [redisPart(redis)] : [])];
  const parts = (): DeploymentPart[] => [...processes, ...servers];
  const ofRole = (role: Role): ProcessPart[] => processes.filter((part) => part.role === role);
  let turn = 0;

  /** One process more. */
  async function add(role: Role): Promise<ProcessPart> {
    const port = await freePort();
    const name = `${role}-${ofRole(role).length + 1}`;
    const part = processPart({ name, role, port, env: { ...env, ...ofLinks?.[role] } });
    processes.push(part);
    await part.revive();
    return part;
  }

  function named(name: string): DeploymentPart {
    const part = parts().find((each) => each.name === name);
    if (!part) throw new Error(`No part is called ${name}`);
    return part;
  }

  async function untilReady(): Promise<void> {
    const probe = async ({ client }: ProcessPart) =>
      (await client.get('/readyz').catch(() => null))?.status === 200;
    const all = async () => Promise.all(processes.map(probe));
    await eventually(all, (ready) => ready.every(Boolean), READY_MS_MAX);
  }

  async function stop(): Promise<void> {
    await Promise.all(processes.map((part) => part.process().stop()));
    await temporal.stop();
    await postgres.stop();
    await redis?.stop();
  }

  const roles = [...Array<Role>(apis).fill('api'), ...Array<Role>(workers).fill('worker')];
  await Promise.all(roles.map(add));
  await untilReady();
  return {
    name: `${apis} api, ${workers} worker`,
    ...{ env, add, named, untilReady, stop, databaseUrl, redisUrl: redis?.url ?? null },
    /** As they are now; `add` makes more. */
    get parts() {
      return parts();
    },
    partsNamed: (names: readonly string[]) => names.map(named),
    apis: () => ofRole('api'),
    workers: () => ofRole('worker'),
    baseUrls: () => ofRole('api').map(({ url }) => url),
    /** A way in; the next one at each call. */
    api(): ApiClient {
      const all = ofRole('api');
      turn += 1;
      return all[turn % all.length]!.client;
    },
    logs: () =>
      processes
        .flatMap((part) => part.lives().map((life) => `--- ${part.name}\n${life.stderr()}`))
        .join('\n'),
  };
}
