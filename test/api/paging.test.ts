// Acceptance test 21: a list that is paged through while sessions come and go shows each old one exactly once; and a list of
// long things comes in short pages.
import Database from 'better-sqlite3';
import { newRow } from '../../src/services/sessions/new-row.ts';
import { type ApiClient, eventually } from '../support/api-client.ts';
import { databaseFileIn } from '../support/files.ts';
import { isLong } from '../support/long.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

const SESSIONS = isLong ? 5_000 : 400;
const PAGE = 20;
const TEST_MS_MAX = isLong ? 300_000 : 60_000;

let server: TestSystem;
beforeAll(async () => {
  server = await startTestSystem();
});
afterAll(() => server.stop());

/**
 * Straight into the table: paging is what is tested, not creating. Four share each moment, so that ties happen.
 * In one go, for a second connection of this process that waited for the server's would wait for itself.
 */
async function addSessions(account: string): Promise<string[]> {
  const db = new Database(databaseFileIn(server.directory), { timeout: 0 });
  const { id: accountId } = db.prepare('select id from accounts where name = ?').get(account) as {
    id: string;
  };
  const begin = Date.now() - SESSIONS;
  const rows = Array.from({ length: SESSIONS }, (_, index) =>
    newRow(accountId, { model: 'claude-haiku' }, begin + Math.floor(index / 4)),
  );
  const columns = Object.keys(rows[0] ?? {});
  const insert = db.prepare(
    `insert into sessions (${columns}) values (${columns.map((name) => `@${name}`)})`,
  );
  const insertAll = db.transaction(() => {
    for (const row of rows) insert.run(row);
  });
  const tryIt = async () => {
    try {
      insertAll.immediate();
      return 'done';
    } catch (error) {
      return (error as Error).message;
    }
  };
  await eventually(tryIt, (outcome) => outcome === 'done');
  db.close();
  return rows.map(({ id }) => id);
}

const pick = <T>(items: T[]): T => items[Math.floor(Math.random() * items.length)] as T;

/** Creates one session and deletes two: one that may have been seen, and the last that was. */
async function stir(api: ApiClient, alive: Set<string>, lastSeen: string): Promise<string> {
  for (const id of new Set([pick([...alive]), lastSeen])) {
    // The last one seen is where the next page starts, so its deletion is the hard case; half of the time.
    if (id === lastSeen && Math.random() < 0.5) continue;
    if (alive.delete(id)) expect((await api.delete(`/v1/sessions/${id}`)).status).toBe(200);
  }
  return (await api.session()).id;
}

test.each(['desc', 'asc'])(
  `${SESSIONS} sessions paged through in order '%s' while others come and go`,
  async (order) => {
    const account = `pages ${order}`;
    const api = await server.as(account, 'admin');
    const old = await addSessions(account);
    const alive = new Set(old);
    const added = new Set<string>();
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const { status, body } = await api.get(`/v1/sessions?limit=${PAGE}&order=${order}${query}`);
      expect(status).toBe(200);
      seen.push(...body.data.map(({ id }: { id: string }) => id));
      cursor = body.next_cursor;
      // A list that grows at the end which is still to come must end all the same.
      if (cursor !== null && added.size < SESSIONS / PAGE)
        added.add(await stir(api, alive, seen.at(-1) as string));
    } while (cursor !== null);
    expect(new Set(seen).size).toBe(seen.length);
    const shown = new Set(seen);
    expect([...alive].filter((id) => !shown.has(id))).toEqual([]);
    expect(added.size).toBeGreaterThan(SESSIONS / PAGE / 2);
    expect(old.length - alive.size).toBeGreaterThan(added.size / 2);
    const strangers = seen.filter((id) => !old.includes(id) && !added.has(id));
    expect(strangers).toEqual([]);
    // Newest first, a new session lies before the first page; oldest first, it is still to come.
    expect([...added].filter((id) => shown.has(id)).length > 0).toBe(order === 'asc');
  },
  TEST_MS_MAX,
);

describe('what is long', () => {
  /** As long as a message may be. It is told twice: as its content, and as the block that this consists of. */
  const CONTENT = 'x'.repeat(1_000_000);
  const MESSAGES = 5;
  const PAGE_BYTES_MAX = 4.1 * 1024 * 1024;

  /** Of an event, or of a message. */
  interface Listed {
    id: string;
    seq?: number;
    type?: string;
    content?: string;
    message?: { content: string };
  }

  /** Reads a list to its end. @returns what each page had. */
  async function pagesOf(path: string): Promise<Listed[][]> {
    const pages: Listed[][] = [];
    for (let cursor = ''; ; ) {
      const { body } = await server.api.get(`${path}?limit=100${cursor}`);
      expect(JSON.stringify(body).length).toBeLessThan(PAGE_BYTES_MAX);
      pages.push(body.data);
      expect(body.has_more).toBe(body.next_cursor !== null);
      if (!body.has_more) return pages;
      cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`;
    }
  }

  let path: string;
  beforeAll(async () => {
    const { id } = await server.api.session();
    path = `/v1/sessions/${id}`;
    // Whatever waits behind it is not answered.
    await server.api.send(id, '[[tokens=100000 token_ms=1000]]', { background: true });
    for (let n = 0; n < MESSAGES; n += 1) await server.api.send(id, CONTENT, { background: true });
  });

  test('events come in short pages, each of them once', async () => {
    const pages = await pagesOf(`${path}/events`);
    expect(pages.length).toBeGreaterThan(MESSAGES / 2);
    const seqs = pages.flat().map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
    const long = pages
      .flat()
      .filter(({ type, message }) => type === 'message.created' && message?.content === CONTENT);
    expect(long).toHaveLength(MESSAGES);
  });

  test('messages do as well', async () => {
    const pages = await pagesOf(`${path}/messages`);
    expect(pages.length).toBeGreaterThan(MESSAGES / 2);
    expect(pages.flat().filter(({ content }) => content === CONTENT)).toHaveLength(MESSAGES);
    const ids = pages.flat().map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
