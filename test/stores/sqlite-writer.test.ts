// Several transactions become durable in one commit; none of them may tell more than the disk has kept.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import SQLite from 'better-sqlite3';
import { createSyncs } from '../../src/stores/sqlite-sync.ts';
import { createSqliteWriter } from '../../src/stores/sqlite-writer.ts';
import { eventually } from '../support/api-client.ts';

const directory = mkdtempSync(join(tmpdir(), 'openclaw-writer-'));
const file = join(directory, 'rows.db');
const database = new SQLite(file);
database.pragma('journal_mode = WAL');
database.exec('create table rows (id integer primary key, text text)');
const reader = new SQLite(file, { readonly: true });
const committedRows = () => reader.prepare('select id from rows order by id').pluck().all();
let sync = async (): Promise<void> => undefined;
const writer = createSqliteWriter(
  database,
  createSyncs(() => sync()),
);
const insert = (id: number, text = '') =>
  database.prepare('insert into rows (id, text) values (?, ?)').run(id, text);

afterAll(() => {
  reader.close();
  database.close();
  rmSync(directory, { recursive: true });
});
afterEach(() => {
  sync = async () => undefined;
  database.exec('delete from rows');
});

/** A disk that takes its time: each sync waits until it is let go. */
function slowDisk() {
  const waiting: (() => void)[] = [];
  sync = () => new Promise((resolve) => waiting.push(resolve));
  return {
    waiting: () => waiting.length,
    async letGo(): Promise<void> {
      waiting.shift()?.();
      await new Promise(setImmediate);
    },
  };
}

async function write(id: number, text?: string): Promise<void> {
  await writer.begin();
  try {
    insert(id, text);
  } catch (error) {
    await writer.rollback(error);
    throw error;
  }
  await writer.commit();
}

it('keeps what was written together, and is not done before it is durable', async () => {
  const seen: unknown[][] = [];
  await Promise.all([1, 2, 3].map((id) => write(id).then(() => seen.push(committedRows()))));
  expect(seen).toEqual([
    [1, 2, 3],
    [1, 2, 3],
    [1, 2, 3],
  ]);
});

it('undoes one transaction without its neighbours', async () => {
  const outcomes = await Promise.allSettled([write(1), write(2), write(1), write(3)]);
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
  expect(committedRows()).toEqual([1, 2, 3]);
});

it('lets a transaction that is undone go by nothing that is not durable', async () => {
  const first = write(1);
  await writer.begin();
  expect(database.prepare('select count(*) from rows').pluck().get()).toBe(1);
  await writer.rollback(undefined);
  expect(committedRows()).toEqual([1]);
  await first;
});

it('gives turns in the order in which they were asked for, also after one that was undone', async () => {
  const order: number[] = [];
  const turn = async (id: number, undo: boolean) => {
    await writer.begin();
    order.push(id);
    await Promise.resolve();
    if (undo) await writer.rollback(undefined);
    else await writer.commit();
  };
  await Promise.all([turn(1, false), turn(2, true), turn(3, false), turn(4, true), turn(5, false)]);
  expect(order).toEqual([1, 2, 3, 4, 5]);
});

it('tells every transaction of a group that a full disk has lost, and goes on when there is room', async () => {
  const pages = Number(database.pragma('page_count', { simple: true }));
  database.pragma(`max_page_count = ${pages + 2}`);
  const outcomes = await Promise.allSettled([write(1), write(2, 'x'.repeat(1_000_000)), write(3)]);
  const kept = outcomes.flatMap(({ status }, index) => (status === 'fulfilled' ? [index + 1] : []));
  expect(committedRows()).toEqual(kept);
  expect(kept).not.toContain(2);
  database.pragma('max_page_count = 1000000');
  await write(4);
  expect(committedRows()).toEqual([...kept, 4]);
});

describe('while the disk is busy', () => {
  it('a transaction is not done, and what comes meanwhile shares the next sync', async () => {
    const disk = slowDisk();
    const done: number[] = [];
    const writing = [1, 2, 3].map((id) => write(id).then(() => done.push(id)));
    await eventually(
      async () => committedRows(),
      ({ length }) => length === 3,
    );
    const later = [4, 5].map((id) => write(id).then(() => done.push(id)));
    await eventually(
      async () => committedRows(),
      ({ length }) => length === 5,
    );
    expect([disk.waiting(), done]).toEqual([1, []]);
    await disk.letGo();
    expect([disk.waiting(), done]).toEqual([1, [1, 2, 3]]);
    await disk.letGo();
    await Promise.all([...writing, ...later]);
    expect([disk.waiting(), done]).toEqual([0, [1, 2, 3, 4, 5]]);
  });

  it('one that is undone waits for what it has read of an earlier commit', async () => {
    const disk = slowDisk();
    const first = write(1);
    await eventually(
      async () => committedRows(),
      ({ length }) => length === 1,
    );
    await writer.begin();
    let isUndone = false;
    const undone = writer.rollback(undefined).then(() => {
      isUndone = true;
    });
    await new Promise(setImmediate);
    expect(isUndone).toBe(false);
    await disk.letGo();
    await first;
    // Its own group is empty, and synced like any other.
    await disk.letGo();
    await undone;
  });
});
