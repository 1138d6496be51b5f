// SQLite behind the shared query layer. One connection writes, for all transactions of this process in turns. Another connection
// reads durable rows. SQLite's own lock excludes other processes (the command line).
import type SQLite from 'better-sqlite3';
import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from 'kysely';
import { Kysely, SqliteDialect } from 'kysely';
import { openSqliteFile } from '../sqlite-library.ts';
import { makePrivateFile } from './private-file.ts';
import type { Tables } from './schema.ts';
import { explainDamage } from './sqlite-check.ts';
import { createSyncs, openLogSync, type Syncs } from './sqlite-sync.ts';
import { createSqliteWriter, type SqliteWriter } from './sqlite-writer.ts';
import { type Store, storeAway } from './store.ts';

/** Longer than any of our transactions. A writer in another process waits this long before it fails. */
const BUSY_TIMEOUT_MS = 5_000;
/** Far more statements than the code has. A list of ids makes a different statement for each length. */
const STATEMENTS_MAX = 500;
/** A full or failing disk, or a lock that another process doesn't release. */
const AWAY = /^SQLITE_(FULL|IOERR|BUSY|CANTOPEN|READONLY)/;

function explained(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return AWAY.test(code) ? storeAway(error) : error;
}

type Run = (query: CompiledQuery) => QueryResult<unknown>;

/** Runs queries over one connection and caches compiled statements. */
function createRun(database: SQLite.Database): Run {
  const statements = new Map<string, SQLite.Statement>();

  function prepare(sql: string): SQLite.Statement {
    const known = statements.get(sql);
    if (known) return known;
    if (statements.size >= STATEMENTS_MAX) statements.clear();
    const statement = database.prepare(sql);
    statements.set(sql, statement);
    return statement;
  }

  return ({ sql, parameters }) => {
    const statement = prepare(sql);
    if (statement.reader) return { rows: statement.all(parameters) };
    return { rows: [], numAffectedRows: BigInt(statement.run(parameters).changes) };
  };
}

interface Connections {
  read: Run;
  write: Run;
  writer: SqliteWriter;
  syncs: Syncs;
}

/** The connection lent to a query or a transaction. Lending is free, because the two real connections are shared. */
class LentConnection implements DatabaseConnection {
  readonly #connections: Connections;
  #inTransaction = false;
  #failure: unknown;

  constructor(connections: Connections) {
    this.#connections = connections;
  }

  async begin(): Promise<void> {
    await this.#connections.writer.begin().catch(rethrow);
    this.#inTransaction = true;
  }

  async commit(): Promise<void> {
    this.#inTransaction = false;
    await this.#connections.writer.commit().catch(rethrow);
  }

  /** Kysely also rolls back after a failed commit, when there is nothing left to undo. */
  async rollback(): Promise<void> {
    if (!this.#inTransaction) return;
    this.#inTransaction = false;
    await this.#connections.writer.rollback(this.#failure).catch(rethrow);
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const { read, write, syncs } = this.#connections;
    if (this.#inTransaction) return this.#attempt(write, query);
    if (query.query.kind === 'SelectQueryNode') {
      const result = this.#attempt<R>(read, query);
      // Committed rows are readable immediately, but must not leave the process before they would survive a power cut.
      await syncs.pending();
      return result;
    }
    await this.begin();
    try {
      const result = this.#attempt<R>(write, query);
      await this.commit();
      return result;
    } catch (error) {
      await this.rollback();
      throw error;
    }
  }

  #attempt<R>(run: Run, query: CompiledQuery): QueryResult<R> {
    try {
      return run(query) as QueryResult<R>;
    } catch (error) {
      this.#failure = explained(error);
      throw this.#failure;
    }
  }

  streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('Rows are not streamed; read them in pages');
  }
}

const rethrow = (error: unknown): never => {
  throw explained(error);
};

class SharedDriver implements Driver {
  readonly #connections: Connections;
  readonly #close: () => Promise<void>;

  constructor(connections: Connections, close: () => Promise<void>) {
    this.#connections = connections;
    this.#close = close;
  }

  async init(): Promise<void> {}
  async acquireConnection(): Promise<LentConnection> {
    return new LentConnection(this.#connections);
  }
  beginTransaction = (connection: LentConnection): Promise<void> => connection.begin();
  commitTransaction = (connection: LentConnection): Promise<void> => connection.commit();
  rollbackTransaction = (connection: LentConnection): Promise<void> => connection.rollback();
  async releaseConnection(): Promise<void> {}
  destroy = (): Promise<void> => this.#close();
}

class SharedDialect extends SqliteDialect {
  readonly #driver: Driver;

  constructor(database: SQLite.Database, driver: Driver) {
    super({ database });
    this.#driver = driver;
  }

  override createDriver(): Driver {
    return this.#driver;
  }
}

/** @throws {Error} with the fix, if the library was built for another Node. */
export const assertSqliteLoads = (): void => void openSqliteFile(':memory:', {}).close();

function openWriting(file: string): SQLite.Database {
  makePrivateFile(file);
  const database = openSqliteFile(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    database.pragma('journal_mode = WAL');
  } catch (error) {
    database.close();
    throw explainDamage(file, error);
  }
  // An acknowledged message survives a power cut as well as a killed process: `sqlite-sync` syncs each commit. SQLite's `FULL`
  // would do the same but block the event loop for the disk. With `NORMAL` SQLite syncs around checkpoints only.
  database.pragma('synchronous = NORMAL');
  database.pragma('foreign_keys = ON');
  // SQLite overwrites deleted contents in the file: docs/decisions/0026-deleted-contents-are-erased.md.
  database.pragma('secure_delete = ON');
  return database;
}

/** Copies a database in use, as of one moment, without blocking writers. @throws if the copy already exists. */
export function copySqlite(file: string, copy: string): void {
  // SQLite copies into an empty file as well, so the copy is private from the start.
  makePrivateFile(copy);
  const database = openSqliteFile(file, { readonly: true, timeout: BUSY_TIMEOUT_MS });
  try {
    database.prepare('vacuum into ?').run(copy);
  } catch (error) {
    throw explainDamage(file, error);
  } finally {
    database.close();
  }
}

/** Uses a connection without a lock time-out, so a long reader in another process can't block the event loop. */
function truncateLog(file: string): boolean {
  const database = openSqliteFile(file, { timeout: 0 });
  try {
    return database.pragma('wal_checkpoint(TRUNCATE)', { simple: true }) === 0;
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('SQLITE_BUSY'))
      return false;
    throw error;
  } finally {
    database.close();
  }
}

export function openSqlite(file: string): Store {
  const writing = openWriting(file);
  const reading = openSqliteFile(file, { timeout: BUSY_TIMEOUT_MS, readonly: true });
  const log = openLogSync(file);
  const syncs = createSyncs(log.sync);
  const writer = createSqliteWriter(writing, syncs);
  const connections = { read: createRun(reading), write: createRun(writing), writer, syncs };
  const driver = new SharedDriver(connections, async () => {
    writer.flush();
    await syncs.pending();
    log.close();
    reading.close();
    writing.close();
  });
  return {
    kind: 'sqlite',
    db: new Kysely<Tables>({ dialect: new SharedDialect(writing, driver) }),
    truncateLog: () => truncateLog(file),
  };
}
