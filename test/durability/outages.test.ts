// What the product stands on is stopped or has no room: nobody gets a 500, nothing acknowledged is lost, and it goes on by itself.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer } from '../support/api-client.ts';
import { isLong, itLong } from '../support/long.ts';
import { createDatabase, findPostgres, startPostgres } from '../support/postgres.ts';
import { cleanUp } from '../support/process.ts';
import { descendantsOf } from '../support/process-list.ts';
import { violations } from './support/checks.ts';
import { createClient } from './support/client.ts';
import {
  type DevInstallation,
  type DevOptions,
  RECOVERY_MS_MAX,
  startDev,
} from './support/dev-installation.ts';
import { record } from './support/figures.ts';
import { createLedger, type Entry, type Ledger } from './support/ledger.ts';
import { type ModelDouble, startModel } from './support/model.ts';
import { createRandom, SEED } from './support/random.ts';
import { readStories } from './support/read-back.ts';
import { mountSmallDisk, type SmallDisk, smallDiskObstacle } from './support/tmpfs.ts';

/** Longer than every time-out of the product that bounds a call, but for the store's 10 s. */
const STOPPED_MS = isLong ? 30_000 : 4_000;
/** PostgreSQL that hangs is noticed by the query's own time-out of 10 s. */
const ANSWER_MS_MAX = 12_000;
const CALL_INTERVAL_MS = 200;
const DISK_MB = 96;
/** PostgreSQL's write-ahead log alone takes 16 MB a file. */
const POSTGRES_DISK_MB = 160;
const TEST_MS_MAX = STOPPED_MS + 3 * RECOVERY_MS_MAX;

let model: ModelDouble;
beforeAll(async () => {
  model = await startModel();
});
afterAll(async () => {
  await model.close();
  await cleanUp();
});

interface Call {
  status: number;
  ms: number;
  retryAfter: string | null;
}

interface Scene {
  dev: DevInstallation;
  ledger: Ledger;
  client: ReturnType<typeof createClient>;
  sessionId: string;
}

let scenes = 0;

async function open(options: DevOptions = {}): Promise<Scene> {
  scenes += 1;
  const dev = await startDev({ modelUrl: model.url, ...options });
  const ledger = createLedger();
  const client = createClient({
    index: scenes,
    api: dev.api,
    ledger,
    random: createRandom(SEED),
    isOver: () => false,
  });
  const sessionId = await client.newSession(1);
  await client.send(sessionId, 'sync', '');
  return { dev, ledger, client, sessionId };
}

async function timed(ask: (signal: AbortSignal) => Promise<Answer>): Promise<Call & { answer: Answer }> {
  const from = Date.now();
  const answer = await ask(AbortSignal.timeout(ANSWER_MS_MAX));
  return {
    answer,
    status: answer.status,
    ms: Date.now() - from,
    retryAfter: answer.headers.get('retry-after'),
  };
}

/** Nothing that a database could press together: it needs room of its own on the disk. */
const BULK_BYTES = 50_000;

/** One try to send a message, as the ledger's next entry. */
async function write({ dev, ledger, sessionId }: Scene): Promise<Call> {
  const content = `message ${ledger.entries.length + 1} ${randomBytes(BULK_BYTES).toString('hex')}`;
  const entry = ledger.add({ client: 1, sessionId, content, mode: 'background', keys: [] });
  const body = { content, background: true };
  const path = `/v1/sessions/${sessionId}/messages`;
  const call = await timed((signal) => dev.api().call('POST', path, body, {}, signal));
  if (call.status === 202) entry.acknowledged = { at: Date.now(), status: 202, replyId: call.answer.body.id };
  return call;
}

const read = ({ dev, sessionId }: Scene): Promise<Call> =>
  timed((signal) => dev.api().call('GET', `/v1/sessions/${sessionId}/messages`, undefined, {}, signal));

/** Writes and reads for as long as it lasts, one after the other. */
async function callUntil(scene: Scene, until: number): Promise<{ writes: Call[]; reads: Call[] }> {
  const writes: Call[] = [];
  const reads: Call[] = [];
  while (Date.now() < until) {
    writes.push(await write(scene));
    reads.push(await read(scene));
    await sleep(CALL_INTERVAL_MS);
  }
  return { writes, reads };
}

const statusesOf = (calls: readonly Call[]): number[] =>
  [...new Set(calls.map(({ status }) => status))].sort();

function expectRefusals(calls: readonly Call[]): void {
  const refused = calls.filter(({ status }) => status === 503);
  expect(refused.length).toBeGreaterThan(0);
  for (const { retryAfter } of refused) expect(Number(retryAfter)).toBeGreaterThanOrEqual(1);
}

/** The very process goes on, and all that was acknowledged is answered once and in order. */
async function expectRecovery({ dev, ledger, client, sessionId }: Scene, pid: number, from: number) {
  const entry: Entry = await client.send(sessionId, 'sync', '');
  const recoveredMs = Date.now() - from;
  expect(entry.reply.status).toBe('completed');
  expect(dev.server().pid).toBe(pid);
  const stories = await readStories(dev.api(), ledger);
  const faults = [{ from: 0, until: Date.now(), what: 'pause', times: 1 }];
  expect(ledger.faults).toEqual([]);
  expect(violations({ ...ledger, stories, calls: model.calls, faults })).toEqual([]);
  return recoveredMs;
}

function tell(what: string, calls: { writes: Call[]; reads: Call[] }, recoveredMs: number): void {
  const row = {
    outage: what,
    'writes answered': statusesOf(calls.writes).join(', '),
    'reads answered': statusesOf(calls.reads).join(', '),
    'slowest answer ms': Math.max(...[...calls.writes, ...calls.reads].map(({ ms }) => ms)),
    'next answer after it, ms': recoveredMs,
  };
  record({ table: 'outages', rows: [row] });
}

function signalAll(pids: readonly number[], signal: 'SIGSTOP' | 'SIGCONT'): void {
  for (const pid of pids) process.kill(pid, signal);
}

it(
  `with Temporal stopped for ${STOPPED_MS / 1_000} s writes are refused, reads work, and it goes on without a restart`,
  async () => {
    const scene = await open();
    const { pid } = scene.dev.server();
    const temporal = [scene.dev.temporalPid() ?? 0];
    signalAll(temporal, 'SIGSTOP');
    const calls = await callUntil(scene, Date.now() + STOPPED_MS).finally(() =>
      signalAll(temporal, 'SIGCONT'),
    );
    const from = Date.now();
    expect(statusesOf(calls.reads)).toEqual([200]);
    // What comes in the second until it is noticed is kept, and answered afterwards.
    expect(statusesOf(calls.writes).filter((status) => status !== 202)).toEqual([503]);
    expectRefusals(calls.writes);
    tell(`Temporal stopped for ${STOPPED_MS / 1_000} s`, calls, await expectRecovery(scene, pid, from));
    await scene.dev.stop();
  },
  TEST_MS_MAX,
);

const postgresBin = findPostgres();
(postgresBin ? itLong : it.skip)(
  postgresBin
    ? `with PostgreSQL stopped for ${STOPPED_MS / 1_000} s calls are refused in time, and it goes on without a restart`
    : 'skipped, for PostgreSQL is not installed',
  async () => {
    const postgres = await startPostgres(postgresBin!);
    try {
      const scene = await open({ databaseUrl: await createDatabase(postgres.url, 'stopped') });
      const { pid } = scene.dev.server();
      const server = postgres.process.pid ?? 0;
      const all = [server, ...descendantsOf(server).map((each) => each.pid)];
      signalAll(all, 'SIGSTOP');
      const calls = await callUntil(scene, Date.now() + STOPPED_MS).finally(() => signalAll(all, 'SIGCONT'));
      const from = Date.now();
      expect(statusesOf([...calls.reads, ...calls.writes])).toEqual([503]);
      expectRefusals(calls.writes);
      expectRefusals(calls.reads);
      tell(`PostgreSQL stopped for ${STOPPED_MS / 1_000} s`, calls, await expectRecovery(scene, pid, from));
      await scene.dev.stop();
    } finally {
      await postgres.stop();
    }
  },
  TEST_MS_MAX,
);

const obstacle = smallDiskObstacle();
(obstacle ? describe.skip : describe)(obstacle ? `skipped, for ${obstacle}` : 'on a full disk', () => {
  /** Fills it, writes until a write is refused, reads, and gives the room back. */
  async function throughFullDisk(scene: Scene, disk: SmallDisk, what: string): Promise<void> {
    const { pid } = scene.dev.server();
    const before = (await scene.dev.api().get(`/v1/sessions/${scene.sessionId}/messages`)).body.data;
    disk.fill();
    const calls = await callUntil(scene, Date.now() + STOPPED_MS);
    const during = (await scene.dev.api().get(`/v1/sessions/${scene.sessionId}/messages`)).body.data;
    disk.free();
    const from = Date.now();
    expect(statusesOf(calls.writes).filter((status) => status !== 202)).toEqual([503]);
    expectRefusals(calls.writes);
    expect(statusesOf(calls.reads)).toEqual([200]);
    expect(during.slice(0, before.length)).toEqual(before);
    tell(what, calls, await expectRecovery(scene, pid, from));
  }

  it(
    'the data directory loses nothing, and works again when there is room',
    async () => {
      const disk = mountSmallDisk(DISK_MB);
      try {
        const scene = await open({ dataDir: `${disk.directory}/data` });
        await throughFullDisk(scene, disk, 'data directory on a full disk (SQLite and Temporal)');
        await scene.dev.stop();
      } finally {
        disk.unmount();
      }
    },
    TEST_MS_MAX,
  );

  (postgresBin ? itLong : it.skip)(
    postgresBin
      ? 'PostgreSQL loses nothing, and works again when there is room'
      : 'skipped, for PostgreSQL is not installed',
    async () => {
      const disk = mountSmallDisk(POSTGRES_DISK_MB);
      const postgres = await startPostgres(postgresBin!, disk.directory);
      try {
        const scene = await open({ databaseUrl: await createDatabase(postgres.url, 'full_disk') });
        await throughFullDisk(scene, disk, 'PostgreSQL on a full disk');
        await scene.dev.stop();
      } finally {
        await postgres.stop();
        disk.unmount();
      }
    },
    TEST_MS_MAX,
  );
});
