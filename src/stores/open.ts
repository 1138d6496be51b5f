// Picks the database by its address.
import type { Logger } from 'pino';
import { migrate } from './migrate.ts';
import { openPostgres, reachPostgres } from './postgres.ts';
import { assertSqliteLoads, openSqlite } from './sqlite.ts';
import type { Store } from './store.ts';

/** For one statement of a migration. */
const MIGRATION_TIMEOUT_MS = 600_000;

export const isPostgres = (database: string): boolean => /^postgres(ql)?:/.test(database);

/** @param database A `postgres://` address, or the file of a SQLite database. */
export const openStore = (database: string, log: Logger): Store =>
  isPostgres(database) ? openPostgres(database, log) : openSqlite(database);

/**
 * Checks the database once, at the start. Later outages are waited out, but a wrong address stays wrong.
 * @throws {Error} naming DATABASE_URL, or the library for SQLite.
 */
export async function assertReachable(database: string): Promise<void> {
  if (isPostgres(database)) await reachPostgres(database);
  else assertSqliteLoads();
}

/**
 * Applies migrations over separate connections. The connections for calls time out after seconds. A large migration may take
 * minutes, and so may the wait for another process's migration.
 * @returns the names of the migrations applied now.
 * @throws {Error} as `assertReachable` and `migrate` do.
 */
export async function migrateDatabase(database: string, log: Logger): Promise<string[]> {
  await assertReachable(database);
  const { db } = isPostgres(database)
    ? openPostgres(database, log, { statementTimeoutMs: MIGRATION_TIMEOUT_MS })
    : openSqlite(database);
  try {
    return await migrate(db);
  } finally {
    await db.destroy();
  }
}
