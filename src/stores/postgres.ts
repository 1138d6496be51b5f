// PostgreSQL behind the shared query layer: a bounded pool that reconnects by itself.
import { setTimeout } from 'node:timers/promises';
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from 'kysely';
import pg from 'pg';
import type { Logger } from 'pino';
import type { Tables } from './schema.ts';
import { type Store, storeAway } from './store.ts';

/** Connections of one process. A small server allows a hundred in all. */
const CONNECTIONS_MAX = 10;
/** A call that gets no connection within this time is answered with 503. */
const CONNECT_TIMEOUT_MS = 3_000;
/** Longer than any of our transactions. A server that hangs must not block callers. */
const STATEMENT_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 30_000;
/** cannot_connect_now: the server is starting. After a crash of a big database this takes a while. */
const STARTING = '57P03';
const STARTING_MS_MAX = 120_000;
const STARTING_CHECK_MS = 200;
/**
 * A process stopped in the middle of a transaction holds its session's lock. Its leases expire 4 s later at the earliest, so the
 * worker that takes over its turns finds the sessions unlocked.
 */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 4_000;

/**
 * Network errors and SQLSTATE classes of temporary failures. The server is shutting down, out of space, out of connections or too
 * slow, or it has aborted the transaction.
 */
const AWAY = /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOST|08|53|57|58|25006|25P03|40)/;
/** The driver gives these failures no code. */
const AWAY_WORDS =
  /timeout exceeded when trying to connect|Connection terminated|Query read timeout|not queryable/i;

/** Eight-byte integers. Ours are milliseconds, tokens and nano-dollars, all far below 2^53. */
const INT8 = 20;

function isAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return AWAY.test(code) || AWAY_WORDS.test(error.message);
}

const explained = (error: unknown): never => {
  throw isAway(error) ? storeAway(error) : error;
};

/** A client with translated errors. A connection that broke while in use is not reused. */
function guarded(client: pg.PoolClient): PostgresPoolClient {
  let broken: Error | undefined;
  const onError = (error: Error) => {
    broken = error;
  };
  // Without a listener, losing a connection in use would end the process.
  client.on('error', onError);
  const query = (sql: string, parameters: readonly unknown[]) =>
    client.query(sql, [...parameters]).catch((error: unknown) => {
      if (isAway(error)) broken = error as Error;
      return explained(error);
    });
  return {
    query: query as unknown as PostgresPoolClient['query'],
    release: () => {
      client.off('error', onError);
      client.release(broken);
    },
  };
}

interface Limits {
  statementTimeoutMs?: number;
}

export function openPostgres(
  url: string,
  log: Logger,
  { statementTimeoutMs = STATEMENT_TIMEOUT_MS }: Limits = {},
): Store {
  const types = { getTypeParser: (oid: number) => (oid === INT8 ? Number : pg.types.getTypeParser(oid)) };
  const pool = new pg.Pool({
    connectionString: url,
    max: CONNECTIONS_MAX,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'openclaw',
    types: types as pg.CustomTypesConfig,
  });
  // Losing an idle connection is harmless: the pool opens a new connection.
  pool.on('error', (error) => log.warn({ err: error }, 'A connection to PostgreSQL was lost'));
  const lent: PostgresPool = {
    connect: async () => guarded(await pool.connect().catch(explained)),
    end: () => pool.end(),
  };
  return {
    kind: 'postgres',
    db: new Kysely<Tables>({ dialect: new PostgresDialect({ pool: lent }) }),
    truncateLog: () => true,
  };
}

/** The address without user and password. */
function placeOf(url: string): string {
  if (!URL.canParse(url)) return 'this address';
  const { host, pathname } = new URL(url);
  return `${host || 'localhost'}${pathname}`;
}

async function connectOnce(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  // `connect` also reports a connection that is lost while it waits.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } finally {
    await client.end().catch(() => undefined);
  }
}

const isStarting = (error: unknown): boolean => error instanceof pg.DatabaseError && error.code === STARTING;

/**
 * Waits for a server that reports that it is starting, for example while reading its log after a crash.
 * @throws {Error} naming DATABASE_URL if the database can't be used.
 */
export async function reachPostgres(url: string): Promise<void> {
  const deadline = Date.now() + STARTING_MS_MAX;
  for (;;) {
    try {
      return await connectOnce(url);
    } catch (cause) {
      if (!isStarting(cause) || Date.now() > deadline)
        throw new Error(`DATABASE_URL: PostgreSQL at ${placeOf(url)} can't be used`, { cause });
    }
    await setTimeout(STARTING_CHECK_MS);
  }
}
