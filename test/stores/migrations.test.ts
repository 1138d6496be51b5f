// A database is brought to this version's tables from nothing, and left alone when it is there.
import { type Kysely, sql } from 'kysely';
import { migrate } from '../../src/stores/migrate.ts';
import { up as makeOutbox } from '../../src/stores/migrations/0013-outbox.ts';
import { CALL } from '../support/signal-work.ts';
import { openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeEach(async () => {
  store = await openTestStore();
});
afterEach(() => store.close());

const tables = async () =>
  (await store.db.introspection.getTables()).map(
    ({ name, columns }) => `${name}: ${columns.map((each) => each.name)}`,
  );

test('an empty database gets every table', async () => {
  const names = (await store.db.introspection.getTables()).map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining([
      ...['accounts', 'api_keys', 'events', 'idempotency_keys', 'messages', 'model_calls'],
      ...['session_metadata', 'sessions', 'steps'],
    ]),
  );
});

test('a second run changes nothing, and what is in the tables stays', async () => {
  const session = await store.createSession({ metadata: { a: 'b' } });
  const [before, row] = [await tables(), await store.sessionRow(session)];
  await migrate(store.db);
  await Promise.all([migrate(store.db), migrate(store.db)]);
  expect(await tables()).toEqual(before);
  expect(await store.sessionRow(session)).toEqual(row);
});

test('a start completes the metadata of sessions that an older process has made since', async () => {
  const metadata = { made: 'by an older process' };
  const id = await store.createSession({ metadata });
  await sql`update session_metadata set account_id = null, created_at = null`.execute(store.db);
  const list = async () => {
    const page = { limit: 10, order: 'desc' as const, after: null };
    return (await store.services.sessions.list(store.caller, { metadata }, page)).data.map((each) => each.id);
  };
  expect(await list()).toEqual([]);
  await migrate(store.db);
  expect(await list()).toEqual([id]);
});

/** Takes back what this migration has made. */
async function withMarks(): Promise<void> {
  await store.db.schema.dropTable('outbox').execute();
  await sql`create index sessions_end_unsignalled on sessions (id)`.execute(store.db);
  await sql`create index tool_calls_unsignalled on tool_calls (completed_at)`.execute(store.db);
}

test('signals that the version before had not sent are in the outbox', async () => {
  const [session, over] = [await store.createSession(), await store.createSession()];
  const asked = await store.send(session);
  await store.turns.complete(writerOf(await store.open(asked, null)), '', replyOf('Half'), [CALL]);
  const [call] = await store.rows.openToolCalls(asked.replyId);
  const body = { tool_call_id: call?.id ?? '', result: 'Sunny' };
  await store.services.toolCalls.submit(store.caller, session, body, null);
  const queued = await store.send(session, 'Waits for its turn');
  const marked = await store.send(session, 'Waits, and its workflow knows');
  await store.sessions.complete(store.caller, over);
  await sql`update messages set signalled_at = 1 where id = ${marked.userMessageId}`.execute(store.db);
  await store.outbox.flush();
  await withMarks();
  await makeOutbox(store.db as unknown as Kysely<unknown>);
  const found = await store.outboxRows.claimLost(Number.MAX_SAFE_INTEGER, Date.now());
  const told = found.map(({ session: { id }, tell: { signal, argument } }) => ({ id, signal, argument }));
  expect(told.sort((a, b) => a.signal.localeCompare(b.signal))).toEqual([
    { id: over, signal: 'end', argument: { reason: 'completed', isDue: true } },
    {
      id: session,
      signal: 'message',
      argument: {
        ...{ messageId: queued.userMessageId, replyId: queued.replyId, position: 2 },
        ...{ preview: '', expiresAtMs: null },
      },
    },
    { id: session, signal: 'toolResult', argument: { callId: call?.id } },
  ]);
});

test('a database of a newer version is refused, with the reason', async () => {
  await sql`insert into kysely_migration (name, timestamp) values ('9999-later', '2027-01-01')`.execute(
    store.db,
  );
  const error = await migrate(store.db).catch((reason: Error) => reason);
  expect(error).toMatchObject({
    message: expect.stringContaining('database'),
    cause: expect.objectContaining({ message: expect.stringContaining('9999-later') }),
  });
});
