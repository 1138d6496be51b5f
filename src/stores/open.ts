// Picks the database by its address.
import type { Logger } from 'pino';
import { openPostgres } from './postgres.ts';
import { openSqlite } from './sqlite.ts';
import type { Store } from './store.ts';

export const isPostgres = (database: string): boolean => /^postgres(ql)?:/.test(database);

/** @param database A `postgres://` address, or the file of a SQLite database. */
export const openStore = (database: string, log: Logger): Store =>
  isPostgres(database) ? openPostgres(database, log) : openSqlite(database);
