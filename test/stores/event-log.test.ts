// Reading the log: a reader that is behind is given as many events as may be in memory at once, and always at least one; so is
// the reader of a page.
import { openTestStore, type TestStore } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const LENGTHS = [10, 400, 400, 400, 10, 1_900, 10, 10];

async function sessionWith(lengths: number[]): Promise<string> {
  const session = await store.createSession();
  await store.log.write(session, async (tx) => {
    for (const length of lengths) tx.append('message.delta', null, { step: 1, text: 'é'.repeat(length) });
  });
  return session;
}

/** Reads on until nothing comes. @returns how many events each read gave. */
async function readsOf(sessionId: string, bounds: { limit: number; bytesMax?: number }): Promise<number[]> {
  const reads: number[] = [];
  const seqs: number[] = [];
  for (let after = 1; ; after = seqs.at(-1) ?? after) {
    const events = await store.log.read({ sessionId, after, ...bounds });
    if (events.length === 0) break;
    reads.push(events.length);
    seqs.push(...events.map(({ seq }) => seq));
  }
  expect(seqs).toEqual(LENGTHS.map((_, index) => index + 2));
  return reads;
}

test('a bound of bytes ends a read before the event that is too much, and never keeps one from being read', async () => {
  const session = await sessionWith(LENGTHS);
  expect(await readsOf(session, { limit: 100 })).toEqual([8]);
  expect(await readsOf(session, { limit: 3, bytesMax: 1_000_000 })).toEqual([3, 3, 2]);
  expect(await readsOf(session, { limit: 100, bytesMax: 2_000 })).toEqual([4, 2, 2]);
  expect(await readsOf(session, { limit: 100, bytesMax: 1 })).toEqual(LENGTHS.map(() => 1));
});

test('a read goes backwards too, between two events of which it gives neither', async () => {
  const sessionId = await sessionWith(LENGTHS);
  const seqs = async (query: { before?: number; limit: number }) =>
    (await store.log.read({ sessionId, after: 2, order: 'desc', ...query })).map(({ seq }) => seq);
  expect(await seqs({ limit: 3 })).toEqual([9, 8, 7]);
  expect(await seqs({ limit: 3, before: 7 })).toEqual([6, 5, 4]);
  expect(await seqs({ limit: 3, before: 4 })).toEqual([3]);
});

const MIB = 1024 * 1024;

describe('a page of long events', () => {
  /** In MiB, together with the first event. */
  const SIZES = [0, 2, 1, 2, 5, 0, 0, 3, 1];
  let sessionId: string;
  beforeAll(async () => {
    sessionId = await store.createSession();
    await store.log.write(sessionId, async (tx) => {
      for (const mib of SIZES.slice(1))
        tx.append('message.delta', null, { step: 1, text: 'é'.repeat(((mib || 0.1) * MIB) / 2 - 100) });
    });
  });

  /** @returns the sizes of each page's events. */
  async function pagesOf(order: 'asc' | 'desc', limit: number): Promise<number[][]> {
    const pages: number[][] = [];
    let bounds: { after: number; before?: number } = { after: 0 };
    for (;;) {
      const { data, hasMore } = await store.log.page({ sessionId, order, limit, ...bounds });
      pages.push(data.map(({ seq }) => SIZES[seq - 1] ?? -1));
      const last = data.at(-1)?.seq ?? 0;
      bounds = order === 'asc' ? { after: last } : { after: 0, before: last };
      if (!hasMore) return pages;
    }
  }

  test('has 4 MiB of them at most, or a longer one alone, and says that more follow, in both orders', async () => {
    expect(await pagesOf('asc', 100)).toEqual([[0, 2, 1], [2], [5], [0, 0, 3], [1]]);
    expect(await pagesOf('desc', 100)).toEqual([[1, 3], [0, 0], [5], [2, 1], [2, 0]]);
    expect(await pagesOf('asc', 2)).toEqual([[0, 2], [1, 2], [5], [0, 0], [3, 1]]);
  });

  test('is whole, newest first too, while events are appended', async () => {
    const busy = await store.createSession();
    const append = () =>
      store.log.write(busy, async (tx) => {
        tx.append('message.delta', null, { step: 1, text: 'on' });
      });
    for (let n = 0; n < 30; n += 1) {
      const [{ data, hasMore }] = await Promise.all([
        store.log.page({ sessionId: busy, after: 0, order: 'desc', limit: 100 }),
        append(),
        append(),
      ]);
      expect([data.at(-1)?.seq, hasMore]).toEqual([1, false]);
    }
  });

  test('is the last one when nothing follows, also where it is full or empty', async () => {
    const page = (after: number, limit: number) => store.log.page({ sessionId, after, limit });
    expect(await page(7, 2)).toMatchObject({ hasMore: false, data: [{ seq: 8 }, { seq: 9 }] });
    expect(await page(8, 1)).toMatchObject({ hasMore: false, data: [{ seq: 9 }] });
    expect(await page(9, 1)).toEqual({ hasMore: false, data: [] });
  });
});
