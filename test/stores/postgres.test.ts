// What PostgreSQL alone has to be told: how long it waits for a process of ours that says nothing.
import { sql } from 'kysely';
import { pino } from 'pino';
import { WORKER_LOST_AFTER_MS } from '../../src/services/sweep/look.ts';
import { migrate } from '../../src/stores/migrate.ts';
import { openPostgres } from '../../src/stores/postgres.ts';
import type { Store } from '../../src/stores/store.ts';
import { findPostgres, startPostgres, type TestPostgres } from '../support/postgres.ts';

/** The interval of a lease's renewals: so much of it may be over when its process is stopped. */
const RENEWAL_MS = 2_000;

const bin = findPostgres();
const about = bin ? describe : describe.skip;

about(bin ? 'a process that is stopped' : 'skipped, for PostgreSQL is not installed', () => {
  let postgres: TestPostgres;
  const stores: Store[] = [];
  beforeAll(async () => {
    postgres = await startPostgres(bin!);
    for (const _ of ['stopped', 'living']) stores.push(openPostgres(postgres.url, pino({ level: 'silent' })));
  });
  afterAll(async () => {
    await Promise.all(stores.map(({ db }) => db.destroy()));
    await postgres.stop();
  });

  test('in the middle of a transaction lets go of its locks before its lease can be 6 s old', async () => {
    const [stopped, living] = stores.map(({ db }) => db);
    await migrate(stopped!);
    const lock = sql`lock table sessions in exclusive mode`;
    const from = Date.now();
    const held = stopped!.transaction().execute(async (rows) => {
      await lock.execute(rows);
      await living!.transaction().execute((others) => lock.execute(others));
      await sql`select 1`.execute(rows);
    });
    // Its own next word is refused as by a store that is away: what waits patiently says it again.
    await expect(held).rejects.toMatchObject({ code: 'unavailable' });
    expect(Date.now() - from).toBeLessThan(WORKER_LOST_AFTER_MS - RENEWAL_MS + 1_000);
  });
});
