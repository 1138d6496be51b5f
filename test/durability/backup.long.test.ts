// Acceptance test 50: a backup taken under load, by the very commands of docs/operations.md, is a working installation.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { openStore } from '../../src/stores/open.ts';
import { PROJECT_DIR } from '../support/built.ts';
import { createDatabase, findPostgres, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { cleanUp, newDirectory, run } from '../support/process.ts';
import { violations } from './support/checks.ts';
import { createClient } from './support/client.ts';
import { type DevInstallation, RECOVERY_MS_MAX, startDev } from './support/dev-installation.ts';
import { createLedger, type Entry, type Ledger, type Mode } from './support/ledger.ts';
import { type ModelDouble, startModel } from './support/model.ts';
import { createRandom, SEED } from './support/random.ts';
import { readStories } from './support/read-back.ts';

const ROUNDS = 10;
const CLIENTS = 6;
/** So many answers at least before the backup, which comes at a random moment after that. */
const ACKNOWLEDGED_MIN = 30;
const LATER_MS_MAX = 1_000;
/** Long enough that every moment has turns that are under way. */
const ANSWER = '[[tokens=40 token_ms=10]]';
const TEST_MS_MAX = 4 * RECOVERY_MS_MAX;

afterAll(cleanUp);

/** The shell blocks under a heading: how to back up, and how to restore. */
function commandsUnder(heading: string): { backUp: string; restore: string } {
  const text = readFileSync(join(PROJECT_DIR, 'docs', 'operations.md'), 'utf8');
  const section = text.split(/^## /m).find((each) => each.startsWith(heading)) ?? '';
  const [backUp, restore, ...others] = [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(
    ([, block]) => block ?? '',
  );
  if (!backUp || !restore || others.length > 0)
    throw new Error(`'${heading}' has not two blocks of commands`);
  return { backUp, restore };
}

interface Place {
  dataDir: string;
  databaseUrl?: string;
}

/** The variables that the commands name. */
const variables = (place: Place, backup: string): Record<string, string> => ({
  BACKUP: backup,
  OPENCLAW_DATA_DIR: place.dataDir,
  ...(place.databaseUrl ? { DATABASE_URL: place.databaseUrl } : {}),
  PATH: `${findPostgres() ?? ''}:${process.env.PATH}`,
});

async function shell(commands: string, env: Record<string, string>): Promise<void> {
  const { code, stderr } = await run('bash', ['-euc', commands], env);
  if (code !== 0) throw new Error(`${commands}ended with ${code}: ${stderr}`);
}

interface Load {
  ledger: Ledger;
  /** Ends when the clients have what they wait for. */
  stop(): Promise<void>;
}

function startLoad(installation: DevInstallation): Load {
  const ledger = createLedger();
  const random = createRandom(SEED);
  let isOver = false;
  const talk = async (index: number) => {
    const own = random.fork(`client ${index}`);
    const deps = { index, ledger, random: own, api: installation.api, isOver: () => isOver };
    const client = createClient(deps);
    const session = await client.newSession(1);
    while (!isOver) await client.send(session, own.pick<Mode>(['sync', 'stream', 'background']), ANSWER);
  };
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, index) => talk(index)));
  return {
    ledger,
    async stop() {
      isOver = true;
      await clients;
    },
  };
}

async function untilAcknowledged({ ledger }: Load, count: number): Promise<void> {
  const acknowledged = () => ledger.entries.filter((entry) => entry.acknowledged).length;
  while (acknowledged() < count) await ledger.next('acknowledged');
}

/** What the clients knew at that moment: later answers are promises of a server that the backup knows nothing of. */
function knownAt(entries: Entry[], at: number): Entry[] {
  const sessions = new Set(
    entries
      .filter(({ acknowledged }) => acknowledged && acknowledged.at < at)
      .map((entry) => entry.sessionId),
  );
  return entries
    .filter(({ sessionId }) => sessions.has(sessionId))
    .map((entry) => ({
      ...entry,
      acknowledged: entry.acknowledged && entry.acknowledged.at < at ? entry.acknowledged : null,
      ...(entry.repliedAt !== null && entry.repliedAt < at
        ? {}
        : { reply: null, repliedAt: null, frames: [], isAwaited: false, streamEnded: false }),
    }));
}

async function unfinishedIn({ dataDir, databaseUrl }: Place): Promise<number> {
  const { db } = openStore(databaseUrl ?? join(dataDir, 'openclaw.db'), pino({ level: 'silent' }));
  const open = db.selectFrom('messages').select('id').where('status', 'in', ['queued', 'in_progress']);
  const rows = await open.execute();
  await db.destroy();
  return rows.length;
}

/** Every promise that the backed-up server had made, kept by the one that was made of the backup. */
async function expectPromisesKept(restored: DevInstallation, ledger: Ledger, at: number): Promise<void> {
  const entries = knownAt(ledger.entries, at);
  const stories = await readStories(restored.api(), { ...ledger, entries });
  expect(stories).toHaveLength(CLIENTS);
  expect(violations({ entries, stories, calls: [], faults: [] })).toEqual([]);
  const kept = entries.find(({ mode, acknowledged }) => mode === 'sync' && acknowledged);
  const again = await restored
    .api()
    .post(
      `/v1/sessions/${kept?.sessionId}/messages`,
      { content: kept?.content },
      { 'Idempotency-Key': kept!.content },
    );
  expect([again.headers.get('idempotent-replayed'), again.body.id]).toEqual([
    'true',
    kept?.acknowledged?.replyId,
  ]);
  for (const { sessionId } of stories)
    expect(await restored.api().send(sessionId, 'and now?')).toMatchObject({ status: 'completed' });
}

async function backUpAndRestore(
  heading: string,
  source: Place,
  target: Place,
  model: ModelDouble,
): Promise<void> {
  const { backUp, restore } = commandsUnder(heading);
  const backup = join(newDirectory(), 'backup');
  const installation = await startDev({ ...source, modelUrl: model.url });
  const load = startLoad(installation);
  await untilAcknowledged(load, ACKNOWLEDGED_MIN);
  await sleep(Math.random() * LATER_MS_MAX);
  const at = Date.now();
  await shell(backUp, variables(source, backup));
  await load.stop();
  expect(load.ledger.faults).toEqual([]);
  await installation.stop();

  await shell(restore, variables(target, backup));
  const unfinished = await unfinishedIn(target);
  const restored = await startDev({ ...target, modelUrl: model.url });
  await expectPromisesKept(restored, load.ledger, at);
  await restored.stop();
  const count = load.ledger.entries.filter(({ acknowledged }) => acknowledged && acknowledged.at < at).length;
  process.stdout.write(
    `${heading}: ${count} acknowledged messages, ${unfinished} rows unfinished in the backup\n`,
  );
  expect(unfinished).toBeGreaterThan(0);
}

let model: ModelDouble;
beforeAll(async () => {
  model = await startModel();
});
afterAll(() => model.close());

const rounds = Array.from({ length: ROUNDS }, (_, index) => index + 1);
const newDataDir = (): string => join(newDirectory(), 'data');

test.each(rounds)(
  'a copy of SQLite taken under load is a working installation (%s)',
  () => backUpAndRestore('SQLite', { dataDir: newDataDir() }, { dataDir: newDataDir() }, model),
  TEST_MS_MAX,
);

const bin = findPostgres();
// Without Debian's PostgreSQL there is none to back up: apt-get install postgresql.
(bin ? describe : describe.skip)(bin ? 'PostgreSQL' : 'skipped, for PostgreSQL is not installed', () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres(bin ?? '');
  });
  afterAll(() => postgres.stop());

  test.each(rounds)(
    'a dump taken under load is a working installation (%s)',
    async (round) => {
      const place = async (name: string): Promise<Place> => ({
        dataDir: newDataDir(),
        databaseUrl: await createDatabase(postgres.url, `${name}_${round}`),
      });
      await backUpAndRestore('PostgreSQL', await place('source'), await place('target'), model);
    },
    TEST_MS_MAX,
  );
});
