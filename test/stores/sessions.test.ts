// Lists of sessions: filters, pages and order, with another account's sessions always in the same tables.
import type { SessionSummary } from '../../src/contracts/sessions.ts';
import type { PageRequest, SessionFilter } from '../../src/services/ports.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

const START_MS = Date.parse('2026-03-01T12:00:00Z');
let nowMs = START_MS;
let store: TestStore;
let other: TestStore;

beforeAll(async () => {
  store = await openTestStore({ now: () => nowMs });
  other = await openTestStore({ file: store.file, now: () => nowMs, account: 'other' });
});
afterAll(async () => {
  await other.close();
  await store.close();
});

interface Wanted {
  filter?: Partial<SessionFilter>;
  order?: 'asc' | 'desc';
  limit?: number;
  of?: TestStore;
}

/** Every page, one after the other. */
async function pages({ filter = {}, order = 'desc', limit = 100, of = store }: Wanted = {}) {
  const found: SessionSummary[][] = [];
  let after: PageRequest['after'] = null;
  do {
    const page = await of.sessions.list(of.caller, { metadata: {}, ...filter }, { order, limit, after });
    found.push(page.data);
    after = page.next;
  } while (after);
  return found;
}

const ids = async (wanted?: Wanted) => (await pages(wanted)).flat().map(({ id }) => id);

describe('a list of sessions', () => {
  const mine: string[] = [];
  beforeAll(async () => {
    for (let n = 0; n < 25; n += 1) {
      // Five a millisecond: the time alone does not tell where a page ends.
      nowMs = START_MS + Math.floor(n / 5);
      mine.push(await store.createSession({ metadata: { n: String(n), half: n % 2 ? 'odd' : 'even' } }));
      await other.createSession({ metadata: { n: String(n), half: 'even' } });
    }
  });

  test.each([1, 2, 7, 25, 100])('in pages of %i has every session once, newest first', async (limit) => {
    const found = await pages({ limit });
    expect(
      found
        .flat()
        .map(({ id }) => id)
        .sort(),
    ).toEqual([...mine].sort());
    const times = found.flat().map((session) => session.created_at);
    expect(times).toEqual([...times].sort().reverse());
    expect(found.every((page) => page.length <= limit)).toBe(true);
    expect(found).toHaveLength(Math.ceil(25 / limit));
  });

  test('oldest first is the same list from its other end', async () => {
    expect(await ids({ order: 'asc', limit: 4 })).toEqual((await ids({ limit: 6 })).reverse());
  });

  test('stays whole while sessions are added between its pages', async () => {
    const first = await store.sessions.list(
      store.caller,
      { metadata: {} },
      { order: 'desc', limit: 10, after: null },
    );
    nowMs += 1_000;
    const added = await store.createSession({ metadata: { added: 'yes' } });
    const rest = await store.sessions.list(
      store.caller,
      { metadata: {} },
      { order: 'desc', limit: 100, after: first.next },
    );
    const seen = [...first.data, ...rest.data].map(({ id }) => id);
    expect([...seen].sort()).toEqual([...mine].sort());
    await store.sessions.delete(store.caller, added);
  });

  test('shows nothing of another account, whatever is asked', async () => {
    expect(await ids({ of: other })).toHaveLength(25);
    expect((await ids({ of: other })).filter((id) => mine.includes(id))).toEqual([]);
    expect(await ids({ filter: { metadata: { half: 'even' } } })).toHaveLength(13);
    const theirs = (await ids({ of: other }))[0] ?? '';
    await expect(store.sessions.get(store.caller, theirs, { includeState: false })).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  test('by metadata wants every pair to be the same, exactly', async () => {
    const by = (metadata: Record<string, string>) => ids({ filter: { metadata } });
    expect(await by({ n: '3' })).toEqual([mine[3]]);
    expect(await by({ n: '3', half: 'odd' })).toEqual([mine[3]]);
    expect(await by({ n: '3', half: 'even' })).toEqual([]);
    expect(await by({ n: '%' })).toEqual([]);
    expect(await by({ half: 'ODD' })).toEqual([]);
    expect(await by({ "n' or '1'='1": '3' })).toEqual([]);
  });

  test('follows metadata that is changed, and pairs that are deleted', async () => {
    const id = mine[7] ?? '';
    await store.sessions.update(store.caller, id, { metadata: { n: null, half: 'neither' } });
    expect(await ids({ filter: { metadata: { half: 'neither' } } })).toEqual([id]);
    expect(await ids({ filter: { metadata: { n: '7' } } })).toEqual([]);
    await store.sessions.update(store.caller, id, { metadata: { n: '7', half: 'odd' } });
  });

  test('between two times has neither end', async () => {
    const between = { createdAfterMs: START_MS, createdBeforeMs: START_MS + 4 };
    expect((await ids({ filter: between })).sort()).toEqual(mine.slice(5, 20).sort());
  });
});

describe('a list by status and model', () => {
  test('takes several statuses and the name that was asked for; a deleted session is in none', async () => {
    const [active, completed, archived, deleted] = [
      await store.createSession({ model: 'claude-opus-4-6' }),
      await store.createSession({ model: 'claude-opus-4-6' }),
      await store.createSession({ model: 'claude-opus-4-6' }),
      await store.createSession({ model: 'claude-opus-4-6' }),
    ];
    await store.sessions.complete(store.caller, completed);
    await store.sessions.archive(store.caller, archived);
    await store.sessions.delete(store.caller, deleted);
    const by = async (...status: ('active' | 'completed' | 'archived')[]) =>
      (await ids({ filter: { model: 'claude-opus-4-6', ...(status.length > 0 ? { status } : {}) } })).sort();
    expect(await by()).toEqual([active, completed, archived].sort());
    expect(await by('active')).toEqual([active]);
    expect(await by('completed', 'archived')).toEqual([completed, archived].sort());
    expect(await ids({ filter: { model: 'claude-opus-4' } })).toEqual([]);
  });
});

test('a session whose deletion was cut short between its two transactions is gone for its caller', async () => {
  const [kept, session] = [await store.createSession(), await store.createSession()];
  await store.log.write(session, (tx) => store.turns.endSession(tx, { reason: 'deleted' }));
  await expect(store.sessions.get(store.caller, session, { includeState: false })).rejects.toMatchObject({
    code: 'not_found',
  });
  const found = await ids();
  expect(found).toContain(kept);
  expect(found).not.toContain(session);
});
