// Several processes of the product that share a PostgreSQL and a Temporal server of their own.

import { homedir } from 'node:os';
import { join } from 'node:path';
import { locateBinary, TEMPORAL_CLI } from '../../../src/temporal/binary.ts';
import { type EmbeddedTemporal, startEmbeddedTemporal } from '../../../src/temporal/embedded-server.ts';
import { SEARCH_ATTRIBUTES } from '../../../workflows/protocol.ts';
import { type ApiClient, createApiClient, eventually } from '../../support/api-client.ts';
import { findPostgres, startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { freePort, kill9, newDirectory, type ServerProcess, spawnServer } from '../../support/process.ts';
import { descendantsOf } from '../../support/process-list.ts';
import { RECOVERY_MS_MAX } from './dev-installation.ts';
import type { Installation, Part } from './installation.ts';

const SECRET = 'one-secret-that-all-processes-share';
const ADMIN_KEY = 'oclaw_test_the_admin_key_of_this_suite';

export interface SharedOptions {
  modelUrl: string;
  processes: number;
  /** PostgreSQL is killed, too. */
  harmsPostgres: boolean;
}

export interface SharedInstallation extends Installation {
  /** One process of the product, by its place. */
  process(index: number): Member;
  databaseUrl: string;
}

export interface Member extends Part {
  life(): ServerProcess;
  api(): ApiClient;
}

const silent = { info() {}, warn() {}, error() {} };

async function startTemporal(): Promise<EmbeddedTemporal> {
  const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');
  const searchPath = process.env.PATH ?? '';
  const { path } = await locateBinary(TEMPORAL_CLI, { cacheDir, searchPath, onProgress: () => undefined });
  return startEmbeddedTemporal({
    dataDir: newDirectory(),
    binaryPath: path,
    version: TEMPORAL_CLI.version,
    searchAttributes: Object.fromEntries(Object.values(SEARCH_ATTRIBUTES).map((name) => [name, 'Keyword'])),
    log: silent,
    preferredPort: await freePort(),
    preferredUiPort: await freePort(),
  });
}

/** `startEmbeddedTemporal` brings it back, as an operator's supervisor would. */
function temporalPart(temporal: EmbeddedTemporal): Part {
  let killed = 0;
  return {
    name: 'temporal',
    async kill() {
      killed = temporal.pid();
      await kill9(killed);
    },
    signal: (name) => process.kill(temporal.pid(), name),
    async revive() {
      await eventually(
        async () => temporal.pid(),
        (pid) => pid !== killed,
        RECOVERY_MS_MAX,
      );
    },
  };
}

function postgresPart(postgres: TestPostgres): Part {
  return {
    name: 'postgres',
    kill: () => postgres.kill(),
    signal(name) {
      const pid = postgres.process.pid ?? 0;
      for (const each of [pid, ...descendantsOf(pid).map((child) => child.pid)]) process.kill(each, name);
    },
    revive: () => postgres.start(),
  };
}

async function createMember(index: number, env: Record<string, string>): Promise<Member> {
  const where = { dataDir: newDirectory(), port: await freePort() };
  const lives: ServerProcess[] = [];
  const life = (): ServerProcess => lives.at(-1)!;
  const api = createApiClient(`http://127.0.0.1:${where.port}`, ADMIN_KEY);

  /** The life that serves now. */
  let up: ServerProcess | undefined;
  let reviving: Promise<unknown> | undefined;

  async function start(): Promise<boolean> {
    const next = spawnServer({ ...where, env });
    lives.push(next);
    try {
      await next.ready();
    } catch {
      return false;
    }
    up = next;
    void next.exit.then(() => {
      up = undefined;
    });
    return true;
  }

  return {
    name: `openclaw ${index + 1}`,
    life,
    api: () => api,
    async kill() {
      life().kill('SIGKILL');
      await life().exit;
    },
    signal: (name) => life().kill(name),
    /** A process that finds no store or no Temporal at its start ends; its supervisor starts it again, one at a time. */
    async revive() {
      if (up) return;
      reviving ??= eventually(start, Boolean, RECOVERY_MS_MAX).finally(() => {
        reviving = undefined;
      });
      await reviving;
    },
  };
}

export async function startShared({
  modelUrl,
  processes,
  harmsPostgres,
}: SharedOptions): Promise<SharedInstallation> {
  const bin = findPostgres();
  if (!bin) throw new Error('PostgreSQL is not installed: apt-get install postgresql');
  const postgres = await startPostgres(bin);
  const temporal = await startTemporal();
  const env = {
    OPENCLAW_RATE_LIMIT_PER_MINUTE: '1000000',
    OPENCLAW_SECRET_KEY: SECRET,
    OPENCLAW_API_KEY: ADMIN_KEY,
    ANTHROPIC_BASE_URL: modelUrl,
    DATABASE_URL: postgres.url,
    TEMPORAL_ADDRESS: temporal.address,
  };
  const members: Member[] = [];
  for (let index = 0; index < processes; index += 1) {
    const member = await createMember(index, env);
    await member.revive();
    members.push(member);
  }
  const parts = [...members, temporalPart(temporal), ...(harmsPostgres ? [postgresPart(postgres)] : [])];
  let turn = 0;
  const readiness = (member: Member) =>
    member
      .api()
      .get('/readyz')
      .then(({ status }) => status === 200)
      .catch(() => false);
  return {
    name: `${processes} processes on PostgreSQL`,
    parts,
    partsNamed: (names) => parts.filter(({ name }) => names.includes(name)),
    api() {
      turn += 1;
      return members[turn % members.length]!.api();
    },
    async untilReady() {
      const all = async () => (await Promise.all(members.map(readiness))).every(Boolean);
      await eventually(all, Boolean, RECOVERY_MS_MAX);
    },
    logs: () => members.map((member) => member.life().stderr()).join('\n'),
    async stop() {
      await Promise.all(members.map((member) => member.life().stop()));
      await temporal.stop();
      await postgres.stop();
    },
    process: (index) => members[index]!,
    databaseUrl: postgres.url,
  };
}
