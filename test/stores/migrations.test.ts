// A database is brought to this version's tables from nothing, and left alone when it is there.
import { sql } from 'kysely';
import { migrate } from '../../src/stores/migrate.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

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
