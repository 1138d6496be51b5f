// What is queued again for a webhook, or no longer, while something else goes on. PostgreSQL alone can show it: SQLite's transactions take turns.
import { type Kysely, sql } from 'kysely';
import type { Tables } from '../../src/stores/schema.ts';
import { newRemoval, removeContents } from '../../src/stores/session-contents.ts';
import { eventually } from '../support/api-client.ts';
import { createDatabase, findPostgres, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

const bin = findPostgres();
const about = bin ? describe : describe.skip;

about(bin ? 'on PostgreSQL' : 'skipped, for PostgreSQL is not installed', () => {
  let postgres: TestPostgres;
  let store: TestStore;
  let clock = 0;
  beforeAll(async () => {
    postgres = await startPostgres(bin!);
    const file = await createDatabase(postgres.url, 'replays');
    store = await openTestStore({ file, now: () => Date.now() + clock });
  });
  afterAll(async () => {
    await store?.close();
    await postgres?.stop();
  });

  /** So many transactions wait for another one's locks. */
  async function blocked(count: number): Promise<void> {
    const waiting = sql<{ n: number }>`select count(*)::int as n from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
    await eventually(
      async () => (await waiting.execute(store.db)).rows[0]?.n ?? 0,
      (n) => n >= count,
    );
  }

  const set = (id: string, status: 'enabled' | 'disabled') =>
    store.services.webhooks.update(store.caller, id, { status }, null);

  /** A webhook that has missed what this session was told, and nothing else. */
  async function missing(): Promise<{ id: string; session: string }> {
    const session = await store.createSession({ metadata: { secret: 'a private text' } });
    clock += 60_000;
    const { id } = await store.createWebhook({ filter: { session_id: session } });
    await set(id, 'disabled');
    for (const n of ['1', '2', '3']) await store.sessions.update(store.caller, session, { metadata: { n } });
    await set(id, 'enabled');
    return { id, session };
  }

  async function replay(id: string): Promise<number> {
    const range = { from: new Date(0).toISOString(), to: new Date(Date.now() + clock + 1_000).toISOString() };
    return (await store.services.deliveries.replay(store.caller, id, range, null)).value.count;
  }

  const rowsOf = (db: Kysely<Tables>, webhookId: string) =>
    db.selectFrom('deliveries').selectAll().where('webhook_id', '=', webhookId).orderBy('seq').execute();

  test('what two replays find at once is queued once', async () => {
    const { id } = await missing();
    const replays = await store.db.transaction().execute(async (rows) => {
      // Both have looked for what there is when this ends, and neither has queued it.
      await sql`lock table deliveries in exclusive mode`.execute(rows);
      const both = [replay(id), replay(id)];
      await blocked(2);
      return both;
    });
    const counts = await Promise.all(replays);
    expect(counts.sort()).toEqual([0, 3]);
    expect((await rowsOf(store.db, id)).map(({ seq }) => Number(seq))).toEqual([2, 3, 4]);
  });

  test('of a session that is deleted meanwhile nothing is queued', async () => {
    const { id, session } = await missing();
    let replaying: Promise<number> | undefined;
    await store.log.write(session, async (tx) => {
      await removeContents(tx.rows, { sessionId: session, now: tx.now, removal: newRemoval() });
      tx.patch({ ended_reason: 'deleted', deleted_at: tx.now });
      replaying = replay(id);
      await Promise.race([replaying, blocked(1)]);
    });
    expect(await replaying).toBe(0);
    expect(await rowsOf(store.db, id)).toEqual([]);
  });

  test('for a webhook that is deleted meanwhile nothing is queued', async () => {
    const { id } = await missing();
    let replaying: Promise<number> | undefined;
    await store.webhookStore.deleteWebhook({ accountId: store.caller.accountId, id, now: 0 }, async () => {
      replaying = replay(id);
      await Promise.race([replaying, blocked(1)]);
    });
    expect(await replaying).toBe(0);
    expect(await rowsOf(store.db, id)).toEqual([]);
  });

  test('what is queued again at the moment of a deletion is withdrawn with the rest, and its body removed', async () => {
    const { id, session } = await missing();
    await replay(id);
    await store.db
      .updateTable('deliveries')
      .set({ status: 'delivered', next_attempt_at: null })
      .where('webhook_id', '=', id)
      .execute();
    let deleting: Promise<unknown> | undefined;
    await store.db.transaction().execute(async (rows) => {
      // As `redeliver` and a replay do, which commit only when the deletion has begun.
      await rows
        .updateTable('deliveries')
        .set({ status: 'pending', owner: 'endpoint' })
        .where('webhook_id', '=', id)
        .execute();
      deleting = store.sessions.delete(store.caller, session);
      await blocked(1);
    });
    await deleting;
    expect(
      (await rowsOf(store.db, id)).map(({ event_type, status, body }) => [event_type, status, body === '']),
    ).toEqual([
      ...Array(3).fill(['session.updated', 'cancelled', true]),
      ['session.ended', 'pending', false],
    ]);
  });

  test('an endpoint that is switched off at the moment of a deletion keeps nothing of what the session held', async () => {
    const session = await store.createSession({ metadata: { secret: 'a private text' } });
    const { id } = await store.createWebhook({ filter: { session_id: session } });
    await store.sessions.complete(store.caller, session);
    let disabling: Promise<unknown> | undefined;
    await store.log.write(session, async (tx) => {
      await removeContents(tx.rows, { sessionId: session, now: tx.now, removal: newRemoval() });
      tx.patch({ ended_reason: 'deleted', deleted_at: tx.now });
      disabling = set(id, 'disabled');
      await blocked(1);
    });
    await disabling;
    expect((await rowsOf(store.db, id)).map((row) => [row.event_type, row.status, row.body])).toEqual([
      ['session.ended', 'cancelled', ''],
    ]);
  });
});
