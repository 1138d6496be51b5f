// Looks a SQLite database over before a server uses it: damage must stop a start, not answer 500 for ever.
import { statSync } from 'node:fs';
import { openSqliteFile } from '../sqlite-library.ts';

/** Up to this size the whole database is checked: about half a second. Beyond it, what every call needs. */
const WHOLE_BYTES_MAX = 128 * 1024 * 1024;
/** Small beside messages and events. Damage in those is met when they are read. */
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

/** The error, in words that name the file when its contents are at fault. */
export function explainDamage(file: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return DAMAGED.test(code) ? damage(file, (error as Error).message) : error;
}

const hasTable = (database: Database, name: string): boolean =>
  database.prepare("select 1 from sqlite_master where type = 'table' and name = ?").get(name) !== undefined;

/** @returns what is wrong, or undefined. */
function firstFault(database: Database, isWhole: boolean): string | undefined {
  const pragmas = isWhole
    ? ['quick_check(1)']
    : NEEDED_TABLES.filter((name) => hasTable(database, name)).map((name) => `quick_check(${name})`);
  const results = pragmas.map((pragma) => String(database.pragma(pragma, { simple: true })));
  return results.find((result) => result !== 'ok')?.replace(/\s+/g, ' ');
}

/**
 * @returns whether the database holds tables of ours.
 * @throws {Error} naming the file and the way to restore when it is damaged.
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
