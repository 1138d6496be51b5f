// `openclaw dev`: one process with its Temporal server beside it, on SQLite or PostgreSQL.

import { type ApiClient, eventually } from '../../support/api-client.ts';
import { freePort } from '../../support/ports.ts';
import {
  kill9,
  newDirectory,
  type ServerOptions,
  type ServerProcess,
  spawnServer,
  startServer,
} from '../../support/process.ts';
import type { Installation, Part } from './installation.ts';

/** Far beyond every recovery that was measured: only what is lost for good gets here. */
export const RECOVERY_MS_MAX = 60_000;

export interface DevOptions {
  /** Address of a Messages API; the built-in simulator without it. */
  modelUrl?: string;
  databaseUrl?: string;
  env?: Record<string, string>;
  dataDir?: string;
}

export interface DevInstallation extends Installation {
  /** The present life of the process. */
  server(): ServerProcess;
  temporalPid(): number | undefined;
  /** kill -9 of the process alone; the next `start` finds what it left. */
  start(): Promise<ServerProcess>;
}

const environmentOf = ({ modelUrl, databaseUrl, env }: DevOptions): Record<string, string> => ({
  // These suites ask more often than any client should.
  OPENCLAW_RATE_LIMIT_PER_MINUTE: '1000000',
  ...(modelUrl ? { ANTHROPIC_BASE_URL: modelUrl } : {}),
  ...(databaseUrl ? { DATABASE_URL: databaseUrl } : {}),
  ...env,
});

/** One life of a server with the built-in simulator. */
export const start = (where: Pick<ServerOptions, 'dataDir' | 'port'> = {}): Promise<ServerProcess> =>
  startServer({ ...where, env: environmentOf({}) });

export async function startDev(options: DevOptions = {}): Promise<DevInstallation> {
  const where = { dataDir: options.dataDir ?? newDirectory(), port: await freePort() };
  const lives: ServerProcess[] = [];
  const current = (): ServerProcess => lives.at(-1)!;
  const temporalPid = () => current().temporal()?.pid;

  async function start(): Promise<ServerProcess> {
    const life = spawnServer({ ...where, env: environmentOf(options) });
    lives.push(life);
    await life.ready();
    return life;
  }

  function send(pid: number | undefined, signal: NodeJS.Signals): void {
    if (pid !== undefined) process.kill(pid, signal);
  }

  const server: Part = {
    name: 'openclaw',
    async kill() {
      current().kill('SIGKILL');
      await current().exit;
    },
    signal: (name) => current().kill(name),
    async revive() {
      await start();
    },
  };

  let killed: number | undefined;
  const temporal: Part = {
    name: 'temporal',
    async kill() {
      killed = temporalPid() ?? killed;
      if (killed !== undefined) await kill9(killed);
    },
    signal: (name) => send(temporalPid(), name),
    /** The product starts it again. */
    async revive() {
      const isBack = (pid: number | undefined) => pid !== undefined && pid !== killed;
      await eventually(async () => temporalPid(), isBack, RECOVERY_MS_MAX);
    },
  };

  await start();
  const parts = [server, temporal];
  let way: ApiClient | undefined;
  // The address and the key stay the same in every life.
  const api = (): ApiClient => {
    way ??= current().api;
    return way;
  };
  return {
    name: options.databaseUrl ? 'dev on PostgreSQL' : 'dev on SQLite',
    parts,
    partsNamed: (names) => parts.filter(({ name }) => names.includes(name)),
    api,
    async untilReady() {
      const probe = async () =>
        (
          await api()
            .get('/readyz')
            .catch(() => null)
        )?.status;
      await eventually(probe, (status) => status === 200, RECOVERY_MS_MAX);
    },
    logs: () => lives.map((life) => life.stderr()).join('\n'),
    async stop() {
      await current().stop();
    },
    server: current,
    temporalPid,
    start,
  };
}
