// What SQLite has committed is told to nobody before the disk has it; and a disk that fails ends the process.
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { openSqlite } from '../../src/stores/sqlite.ts';
import { PROJECT_DIR } from '../support/built.ts';

type Done = (error: Error | null) => void;

jest.mock('node:fs', () => {
  const real = jest.requireActual('node:fs');
  return { ...real, fdatasync: jest.fn(real.fdatasync) };
});
const fdatasync = fs.fdatasync as unknown as jest.Mock<void, [number, Done]>;
const { fdatasync: realSync } = jest.requireActual<typeof fs>('node:fs');

const directory = fs.mkdtempSync(join(tmpdir(), 'openclaw-sync-'));
const file = join(directory, 'rows.db');
const { db } = openSqlite(file);
const insert = (id: number) => sql`insert into rows (id) values (${id})`.execute(db);
// Kysely sends what begins with `select` from its builder to the connection that reads.
const rows = () =>
  (db as any)
    .selectFrom('rows')
    .select('id')
    .execute()
    .then((found: { id: number }[]) => found.map(({ id }) => id));

beforeAll(() => sql`create table rows (id integer primary key)`.execute(db));
beforeEach(() => fdatasync.mockImplementation(realSync));
afterAll(async () => {
  await db.destroy();
  fs.rmSync(directory, { recursive: true });
});

/** Until it is let go, the disk is not done with the next sync. */
function holdDisk() {
  let letGo: () => void = () => undefined;
  const asked = new Promise<void>((isAsked) => {
    fdatasync.mockImplementation((descriptor, done) => {
      letGo = () => realSync(descriptor, done);
      isAsked();
    });
  });
  return { asked, letGo: () => letGo() };
}

const outcome = (promise: Promise<unknown>): (() => string) => {
  let state = 'waits';
  promise.then(
    () => {
      state = 'done';
    },
    () => {
      state = 'failed';
    },
  );
  return () => state;
};

it('each commit is synced in the file of the write-ahead log', async () => {
  fdatasync.mockClear();
  await insert(1);
  await insert(2);
  expect(fdatasync).toHaveBeenCalledTimes(2);
  const { ino } = fs.fstatSync(fdatasync.mock.calls[0]![0]);
  expect(ino).toBe(fs.statSync(`${file}-wal`).ino);
});

it('neither its writer nor a reader hears of a row before it is durable', async () => {
  const disk = holdDisk();
  const writing = insert(3);
  await disk.asked;
  const reading = rows();
  const states = [outcome(writing), outcome(reading)];
  await new Promise(setImmediate);
  expect(states.map((state) => state())).toEqual(['waits', 'waits']);
  disk.letGo();
  await writing;
  expect(await reading).toContain(3);
});

it('closing waits for what is on its way', async () => {
  const other = openSqlite(join(directory, 'other.db')).db;
  await sql`create table rows (id integer)`.execute(other);
  const disk = holdDisk();
  const writing = sql`insert into rows (id) values (1)`.execute(other);
  await disk.asked;
  const closing = other.destroy();
  const state = outcome(closing);
  await new Promise(setImmediate);
  expect(state()).toBe('waits');
  disk.letGo();
  await Promise.all([writing, closing]);
});

it('a disk that fails to sync ends the process: nobody is told that it was kept, or that it was not', () => {
  const script = `
    import fs from 'node:fs';
    import { syncBuiltinESMExports } from 'node:module';
    fs.fdatasync = (descriptor, done) => done(new Error('EIO: i/o error, fdatasync'));
    syncBuiltinESMExports();
    const { openSqlite } = await import('./src/stores/sqlite.ts');
    const { db } = openSqlite(${JSON.stringify(join(directory, 'failing.db'))});
    setInterval(() => undefined, 1_000);
    await db.schema.createTable('rows').addColumn('id', 'integer').execute();
    console.log('told');
  `;
  const bundling = ['--bundle', '--platform=node', '--format=esm', '--external:better-sqlite3'];
  const cwd = PROJECT_DIR;
  const program = execFileSync('node_modules/.bin/esbuild', bundling, {
    input: script,
    cwd,
    maxBuffer: 2 ** 24,
  });
  const ended = spawnSync(process.execPath, ['--input-type=module', '-'], {
    input: program,
    cwd,
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect({ code: ended.status, told: ended.stdout }).toEqual({ code: 1, told: '' });
  expect(ended.stderr).toMatch(/failing\.db-wal can't be synced to the disk[\s\S]*EIO/);
});
