// Checks a SQLite database before the server uses it. A damaged database must stop the start instead of causing 500s.
import { statSync } from 'node:fs';
import { openSqliteFile } from '../sqlite-library.ts';

/**
 * Up to this size the whole database is checked, in about half a second. In a larger one, only the tables needed by every call.
 */
const WHOLE_BYTES_MAX = 128 * 1024 * 1024;
/** Small tables. Damage in messages and events shows when they are read. */
const NEEDED_TABLES = [
  ...['kysely_migration', 'accounts', 'api_keys', 'sessions', 'session_metadata'],
  ...['idempotency_keys', 'webhooks'],
];
type Database = ReturnType<typeof openSqliteFile>;

const DAMAGED = /^SQLITE_(NOTADB|CORRUPT)/;

const damage = (file: string, what: string, cause?: unknown): Error =>
  new Error(
    `The database ${file} is damaged (${what}). Put it back from a backup, without its -wal and -shm files: ` +
      'docs/operations.md says how. To start anew, move the file away together with admin.key',
    { cause },
  );

/** Names the file in the error if the file's contents are at fault. */
export function explainDamage(file: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return DAMAGED.test(code) ? damage(file, (error as Error).message) : error;
}

const hasTable = (database: Database, name: string): boolean =>
  database.prepare("select 1 from sqlite_master where type = 'table' and name = ?").get(name) !== undefined;

/** @returns the first fault, or undefined. */
function firstFault(database: Database, isWhole: boolean): string | undefined {
  const pragmas = isWhole
    ? ['quick_check(1)']
    : NEEDED_TABLES.filter((name) => hasTable(database, name)).map((name) => `quick_check(${name})`);
  const results = pragmas.map((pragma) => String(database.pragma(pragma, { simple: true })));
  return results.find((result) => result !== 'ok')?.replace(/\s+/g, ' ');
}

/**
 * @returns true if the database holds tables of ours.
 * @throws {Error} naming the damaged file and the way to restore it.
 */
export function checkSqlite(file: string): boolean {
  try {
    const database = openSqliteFile(file, { fileMustExist: true });
    try {
      const fault = firstFault(database, statSync(file).size <= WHOLE_BYTES_MAX);
      if (fault !== undefined) throw damage(file, fault);
      return hasTable(database, 'kysely_migration');
    } finally {
      database.close();
    }
  } catch (error) {
    throw explainDamage(file, error);
  }
}
