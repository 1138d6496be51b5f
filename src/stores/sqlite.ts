// SQLite behind the shared query layer. One connection: transactions of one process queue for it,
// and another process (the command line) meets SQLite's own lock.
import SQLite from 'better-sqlite3';
import type { SqliteDialectConfig } from 'kysely';
import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  SqliteDialect,
  SqliteDriver,
} from 'kysely';
import type { Tables } from './schema.ts';

/** Longer than any transaction of ours; a writer in another process waits this long before it fails. */
const BUSY_TIMEOUT_MS = 5_000;

/** A deferred transaction fails when it turns from reading to writing beside another writer; an immediate one waits. */
class ImmediateDriver extends SqliteDriver {
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }
}

class ImmediateDialect extends SqliteDialect {
  readonly #config: SqliteDialectConfig;

  constructor(config: SqliteDialectConfig) {
    super(config);
    this.#config = config;
  }

  override createDriver(): Driver {
    return new ImmediateDriver(this.#config);
  }
}

export function openSqlite(file: string): Kysely<Tables> {
  const database = new SQLite(file, { timeout: BUSY_TIMEOUT_MS });
  database.pragma('journal_mode = WAL');
  // An acknowledged message survives a power cut, not only a killed process.
  database.pragma('synchronous = FULL');
  database.pragma('foreign_keys = ON');
  return new Kysely<Tables>({ dialect: new ImmediateDialect({ database }) });
}
