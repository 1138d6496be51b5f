// Forward-only migrations, in the order of their numbers. Each runs once, in a transaction.
import { type Kysely, type Migration, Migrator, sql } from 'kysely';
import * as spine from './migrations/0001-spine.ts';
import * as onBusy from './migrations/0002-on-busy.ts';
import * as openCall from './migrations/0003-open-call.ts';
import * as toolCalls from './migrations/0004-tool-calls.ts';
import * as webhooks from './migrations/0005-webhooks.ts';
import * as delivery from './migrations/0006-delivery.ts';
import * as dueDeliveries from './migrations/0007-due-deliveries.ts';
import * as sweep from './migrations/0008-sweep.ts';
import * as heldSettings from './migrations/0009-held-settings.ts';
import * as metadataByAccount from './migrations/0010-metadata-by-account.ts';
import * as installation from './migrations/0011-installation.ts';
import * as erasedSessions from './migrations/0012-erased-sessions.ts';
import * as outbox from './migrations/0013-outbox.ts';
import * as idempotencyResults from './migrations/0014-idempotency-results.ts';
import * as title from './migrations/0015-title.ts';
import type { Tables } from './schema.ts';

const MIGRATIONS: Record<string, Migration> = {
  '0001-spine': spine,
  '0002-on-busy': onBusy,
  '0003-open-call': openCall,
  '0004-tool-calls': toolCalls,
  '0005-webhooks': webhooks,
  '0006-delivery': delivery,
  '0007-due-deliveries': dueDeliveries,
  '0008-sweep': sweep,
  '0009-held-settings': heldSettings,
  '0010-metadata-by-account': metadataByAccount,
  '0011-installation': installation,
  '0012-erased-sessions': erasedSessions,
  '0013-outbox': outbox,
  '0014-idempotency-results': idempotencyResults,
  '0015-title': title,
};

/** Migrations applied by a later version. */
async function unknownMigrations(db: Kysely<Tables>): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
  return rows.map(({ name }) => name).filter((name) => !(name in MIGRATIONS));
}

/**
 * Brings the database to this version's tables. On PostgreSQL Kysely holds an advisory lock. Of processes that start together,
 * one migrates and the others then find nothing to do. The server releases the lock of a process that dies.
 * @returns the names of the migrations applied now.
 * @throws if a migration fails, or the database is newer.
 */
export async function migrate(db: Kysely<Tables>): Promise<string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (!error) {
    await metadataByAccount.fillAccounts(db);
    return results.map(({ migrationName }) => migrationName);
  }
  // An unreadable database has no names to report.
  const unknown = await unknownMigrations(db).catch(() => []);
  const reason =
    unknown.length > 0
      ? `A newer version of OpenClaw has changed this database (${unknown.join(', ')}): start that version or a later one`
      : 'The database could not be brought to this version';
  throw new Error(reason, { cause: error });
}
