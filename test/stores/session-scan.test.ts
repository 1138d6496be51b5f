// How much a list of sessions looks at: rows are counted, and the plans of its statements go by indexes alone.
import { CompiledQuery } from 'kysely';
import type { PageRequest } from '../../src/services/ports.ts';
import { createList } from '../../src/services/sessions/list.ts';
import { createSessionScan, type SessionQuery } from '../../src/stores/session-scan.ts';
import { createSessionsStore } from '../../src/stores/sessions.ts';
import { postgresUrl } from '../support/database.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

const SESSIONS = 300;

let store: TestStore;
let nowMs = Date.parse('2026-03-01T12:00:00Z');
const ids: string[] = [];
beforeAll(async () => {
  store = await openTestStore({ now: () => nowMs });
  for (let n = 0; n < SESSIONS; n += 1) {
    nowMs += 1;
    const metadata = { all: 'yes', half: n % 2 ? 'odd' : 'even', rare: n < 3 ? 'yes' : 'no', n: `${n}` };
    ids.unshift(await store.createSession({ metadata, model: n === 5 ? 'claude-opus-4-6' : 'claude-haiku' }));
  }
}, 60_000);
afterAll(() => store.close());

/** A list that looks at ten rows a piece without metadata, at fewer with it, and at two pieces a page. */
function smallList() {
  const looked: SessionQuery[] = [];
  const scanned = { count: 0 };
  const sessions = createSessionsStore(store.db);
  const list = createList(
    {
      sessions: {
        ...sessions,
        async look(query) {
          looked.push(query);
          const rows = await sessions.look(query);
          scanned.count += rows.length;
          return rows;
        },
      },
      sessionView: (row) => ({ id: row.id }) as never,
    },
    { lookupsPerPiece: 10, piecesMax: 2 },
  );
  return { list, looked, scanned };
}

const FIRST: PageRequest = { order: 'desc', limit: 5, after: null };

describe('a page', () => {
  test('looks at no more than it shows when everything matches', async () => {
    const { list, scanned } = smallList();
    const { data } = await list(store.caller, { metadata: { all: 'yes' } }, { ...FIRST, limit: 4 });
    expect(data.map(({ id }) => id)).toEqual(ids.slice(0, 4));
    expect(scanned.count).toBe(5);
  });

  test('begins with the rarest pair, wherever it is named', async () => {
    const { list, looked, scanned } = smallList();
    const metadata = { all: 'yes', half: 'even', rare: 'yes' };
    const { data, next } = await list(store.caller, { metadata }, FIRST);
    expect(looked[0]?.pairs[0]).toEqual(['rare', 'yes']);
    expect(data.map(({ id }) => id)).toEqual([ids.at(-3), ids.at(-1)]);
    expect([scanned.count, next]).toEqual([3, null]);
  });

  test('stops at its bound, shows what it has found, and says where the list goes on', async () => {
    const { list, scanned } = smallList();
    const metadata = { all: 'yes', half: 'even' };
    const first = await list(store.caller, { metadata }, { ...FIRST, limit: 100 });
    expect(scanned.count).toBeLessThanOrEqual(20);
    expect(first.data.length).toBeLessThan(100);
    expect(first.next).not.toBeNull();
  });

  test.each([
    ['metadata that half of the sessions have', { metadata: { all: 'yes', half: 'odd' } }, 150],
    ['a model that one has', { metadata: {}, model: 'claude-opus-4-6' }, 1],
    ['a status that none has', { metadata: {}, status: ['archived' as const] }, 0],
    ['a pair that none has', { metadata: { all: 'yes', half: 'neither' } }, 0],
    ['both', { metadata: { all: 'yes', rare: 'no' }, model: 'claude-opus-4-6' }, 1],
  ])('after page leads to every session with %s, each once', async (_name, filter, count) => {
    for (const order of ['asc', 'desc'] as const) {
      const { list } = smallList();
      const found: string[] = [];
      let after: PageRequest['after'] = null;
      do {
        const page = await list(store.caller, filter, { order, limit: 7, after });
        found.push(...page.data.map(({ id }) => id));
        after = page.next;
      } while (after !== null);
      expect([found.length, new Set(found).size]).toEqual([count, count]);
      const sorted = ids.filter((id) => found.includes(id));
      expect(found).toEqual(order === 'desc' ? sorted : sorted.reverse());
    }
  });
});

/** The way that SQLite takes: PostgreSQL chooses by its statistics, and the limit bounds its rows as well. */
const inSqlite = postgresUrl === null ? test : test.skip;

inSqlite(
  'a piece is found by indexes: its candidates in order, each other pair by session and key',
  async () => {
    const base = { accountId: store.caller.accountId, order: 'desc' as const, limit: 10 };
    const after = [nowMs, 'sess_z'];
    const pairs: [string, string][] = [
      ['all', 'yes'],
      ['half', 'odd'],
    ];
    const plans = await Promise.all(
      [
        { ...base, after, pairs: [] },
        { ...base, after, pairs },
        { ...base, after: null, pairs, createdAfterMs: 5, createdBeforeMs: nowMs },
      ].map(async (query) => {
        let compiled: CompiledQuery | undefined;
        const { db } = store;
        const spied = db.withPlugin({
          transformQuery: ({ node, queryId }) => {
            compiled = db.getExecutor().compileQuery(node, queryId);
            return node;
          },
          transformResult: async ({ result }) => result,
        });
        await createSessionScan(spied).look(query);
        const { sql: text, parameters } = compiled as CompiledQuery;
        const { rows } = await db.executeQuery<{ detail: string }>(
          CompiledQuery.raw(`explain query plan ${text}`, [...parameters]),
        );
        return rows.map(({ detail }) => detail);
      }),
    );
    for (const plan of plans) {
      // The candidates are a bounded list already; nothing else is read from its beginning to its end, or sorted first.
      expect(plan.filter((step) => /^SCAN (?!candidates)/.test(step))).toEqual([]);
      expect(plan.join('\n')).toMatch(
        /sessions_by_account \(account_id=\?|session_metadata_by_pair \(account_id=\? AND key=\? AND value=\?/,
      );
    }
    expect(plans[1]?.join('\n')).toMatch(
      /session_metadata_pk|autoindex_session_metadata_1 \(session_id=\? AND key=\?\)/,
    );
  },
);
