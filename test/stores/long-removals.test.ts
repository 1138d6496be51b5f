// Ends and removes long sessions: in pieces, without a gap for readers, and to the end when a removal was cut short.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { stringifyJson } from '../../src/contracts/json.ts';
import { purge } from '../../src/services/sessions/purge.ts';
import type { SessionLog } from '../../src/stores/log.ts';
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

/** Marks the session as deleted and purges it. @returns what `look` found after each transaction. */
async function purged<T>(session: string, look: () => Promise<T>): Promise<T[]> {
  await store.log.write(session, async (tx) => tx.patch({ ended_reason: 'deleted', ended_at: tx.now }));
  const found: T[] = [];
  const write: SessionLog['write'] = async (sessionId, work) => {
    const result = await store.log.write(sessionId, work);
    found.push(await look());
    return result;
  };
  await purge({ ...store.log, write }, session);
  return found;
}

test('a long session is removed in many transactions, and no reader that is behind meets a gap in its log', async () => {
  const [session, other] = [await longSession(), await store.createSession()];
  const logs = await purged(session, async () => {
    const rows = await store.db
      .selectFrom('events')
      .select('seq')
      .where('session_id', '=', session)
      .execute();
    return rows.map(({ seq }) => Number(seq)).sort((a, b) => a - b);
  });
  expect(logs.length).toBeGreaterThan(8);
  for (const log of logs) expect(log).toEqual(log.map((_, index) => index + 1));
  expect(new Set(logs.map(({ length }) => length)).size).toBeGreaterThan(3);
  expect(await contentsOf(session)).toBe(0);
  expect(await contentsOf(other)).toBeGreaterThan(0);
});

test('the bodies of many deliveries are removed in many transactions, and the end stays to be told', async () => {
  const session = await store.createSession();
  const webhook = await store.createWebhook({ filter: { session_id: session } });
  await store.sessions.complete(store.caller, session);
  const end = await store.db.selectFrom('deliveries').selectAll().executeTakeFirstOrThrow();
  const rows = Array.from({ length: 60 }, (_, index) => ({
    ...{ ...end, id: `dlv_${index}`, event_type: 'session.updated' as const, seq: 100 + index, body: LONG },
    ...(index % 2 === 0 && { status: 'delivered' as const, completed_at: nowMs }),
  }));
  await store.db.insertInto('deliveries').values(rows).execute();
  // A replay may queue one that pieces have passed already.
  const late = { ...end, id: 'dlv_late', event_type: 'session.updated' as const, seq: 1, body: LONG };
  let pieces = 0;
  const queueLate = async () => {
    pieces += 1;
    if (pieces === 5) await store.db.insertInto('deliveries').values(late).execute();
  };
  expect((await purged(session, queueLate)).length).toBeGreaterThan(8);
  const left = await store.db
    .selectFrom('deliveries')
    .select(['event_type', 'status', 'body'])
    .where('webhook_id', '=', webhook.id)
    .execute();
  expect(left.filter(({ status }) => status === 'delivered')).toHaveLength(30);
  expect(left.filter(({ status }) => status === 'cancelled')).toHaveLength(31);
  expect(left.filter(({ body }) => body !== '')).toMatchObject([
    { event_type: 'session.ended', status: 'pending' },
  ]);
});

test('others have their turn while a session with a long queue ends', async () => {
  const session = await longSession();
  let turns = 0;
  let isOver = false;
  const ended = store.sessions.complete(store.caller, session).finally(() => {
    isOver = true;
  });
  for (; !isOver; turns += 1) await nextTurn();
  await ended;
  expect(turns).toBeGreaterThan(9);
});

test('a removal that was cut short is finished by the sweep, and the session shows nothing meanwhile', async () => {
  const session = await longSession();
  await store.log.write(session, async (tx) => tx.patch({ ended_reason: 'deleted', ended_at: tx.now }));
  nowMs += 60_000;
  await store.sweep.run();
  expect(await contentsOf(session)).toBe(0);
  expect((await store.sessionRow(session)).deleted_at).toBe(nowMs);
});
