// Reading the log: a reader that is behind is given as many events as may be in memory at once, and always at least one.
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
