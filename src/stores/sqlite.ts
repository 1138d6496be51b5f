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
import { type Store, storeAway } from './store.ts';

/** Longer than any transaction of ours; a writer in another process waits this long before it fails. */
const BUSY_TIMEOUT_MS = 5_000;
/** A full or failing disk, and a lock that another process did not let go. */
const AWAY = /^SQLITE_(FULL|IOERR|BUSY|CANTOPEN|READONLY)/;

function explained(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return AWAY.test(code) ? storeAway(error) : error;
}

/** The connection, with its failures in our words. */
function guarded(connection: DatabaseConnection): DatabaseConnection {
  return {
    executeQuery: async (query) => {
      try {
        return await connection.executeQuery(query);
      } catch (error) {
        throw explained(error);
      }
    },
    streamQuery: (query, size) => connection.streamQuery(query, size),
  };
}

class GuardedDriver extends SqliteDriver {
  override async acquireConnection(): Promise<DatabaseConnection> {
    return guarded(await super.acquireConnection());
  }

  /** A deferred transaction fails when it turns from reading to writing beside another writer; an immediate one waits. */
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }
}

class GuardedDialect extends SqliteDialect {
  readonly #config: SqliteDialectConfig;

  constructor(config: SqliteDialectConfig) {
    super(config);
    this.#config = config;
  }

  override createDriver(): Driver {
    return new GuardedDriver(this.#config);
  }
}

export function openSqlite(file: string): Store {
  const database = new SQLite(file, { timeout: BUSY_TIMEOUT_MS });
  database.pragma('journal_mode = WAL');
  // An acknowledged message survives a power cut, not only a killed process.
  database.pragma('synchronous = FULL');
  database.pragma('foreign_keys = ON');
  return { kind: 'sqlite', db: new Kysely<Tables>({ dialect: new GuardedDialect({ database }) }) };
}
