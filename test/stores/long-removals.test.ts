// Ends and removes long sessions: others work meanwhile, no reader finds a gap, and a removal that was cut short is finished.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { stringifyJson } from '../../src/contracts/json.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

const LONG = 'x'.repeat(200_000);

let nowMs = 0;
let store: TestStore;
beforeEach(async () => {
  nowMs = Date.parse('2026-03-01T12:00:00Z');
  store = await openTestStore({ now: () => nowMs });
});
afterEach(() => store.close());

const contentsOf = async (sessionId: string): Promise<number> => {
  const counts = await Promise.all([
    ...(['events', 'tool_calls', 'messages', 'session_metadata'] as const).map((table) =>
      store.db.selectFrom(table).select('session_id').where('session_id', '=', sessionId).execute(),
    ),
    store.db.selectFrom('steps').select('session_id').where('session_id', '=', sessionId).execute(),
  ]);
  return counts.flat().length;
};

/** About 10 MB, in each kind of row. */
async function longSession(): Promise<string> {
  const session = await store.createSession({ metadata: { key: 'value' } });
  for (let n = 0; n < 10; n += 1) {
    const message = await store.send(session, LONG);
    const steps = Array.from({ length: 3 }, (_, index) => ({
      ...{ reply_id: message.replyId, n: index + 1, session_id: session },
      ...{ blocks: stringifyJson([{ type: 'text', text: LONG }]), stop_reason: null, completed_at: nowMs },
    }));
    await store.db.insertInto('steps').values(steps).execute();
  }
  return session;
}

/** Runs `act` again and again, in its own turns of the event loop, until `work` is over. */
async function beside(work: Promise<unknown>, act: () => Promise<unknown>): Promise<void> {
  let isOver = false;
  void work.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await act();
    await nextTurn();
  }
  await work;
}

test('others write many times while a long session is removed', async () => {
  const [session, other] = [await longSession(), await store.createSession()];
  let writes = 0;
  await beside(store.sessions.delete(store.caller, session), async () => {
    await store.sessions.update(store.caller, other, { metadata: { n: String(writes) } });
    writes += 1;
  });
  expect(writes).toBeGreaterThan(8);
  expect(await contentsOf(session)).toBe(0);
  expect(await contentsOf(other)).toBeGreaterThan(0);
});

test('others read many times while a session with a long queue ends', async () => {
  const [session, other] = [await longSession(), await store.createSession()];
  let reads = 0;
  await beside(store.sessions.complete(store.caller, session), async () => {
    await store.sessionRow(other);
    reads += 1;
  });
  expect(reads).toBeGreaterThan(8);
});

test('a reader that is behind meets no gap in the log while it is removed', async () => {
  const session = await longSession();
  const logs: number[][] = [];
  await beside(store.sessions.delete(store.caller, session), async () => {
    const rows = await store.db
      .selectFrom('events')
      .select('seq')
      .where('session_id', '=', session)
      .execute();
    logs.push(rows.map(({ seq }) => Number(seq)).sort((a, b) => a - b));
  });
  for (const log of logs) expect(log).toEqual(log.map((_, index) => index + 1));
  expect(new Set(logs.map(({ length }) => length)).size).toBeGreaterThan(3);
});

test('a removal that was cut short is finished by the sweep, and the session shows nothing meanwhile', async () => {
  const session = await longSession();
  await store.log.write(session, async (tx) => tx.patch({ ended_reason: 'deleted', ended_at: tx.now }));
  nowMs += 60_000;
  await store.sweep.run();
  expect(await contentsOf(session)).toBe(0);
  expect((await store.sessionRow(session)).deleted_at).toBe(nowMs);
});
