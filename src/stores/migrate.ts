// Forward-only migrations, in the order of their numbers; each runs once, in a transaction.
import { type Kysely, type Migration, Migrator } from 'kysely';
import * as spine from './migrations/0001-spine.ts';
import * as onBusy from './migrations/0002-on-busy.ts';
import * as openCall from './migrations/0003-open-call.ts';
import type { Tables } from './schema.ts';

const MIGRATIONS: Record<string, Migration> = {
  '0001-spine': spine,
  '0002-on-busy': onBusy,
  '0003-open-call': openCall,
};

/** Brings the database to this version's tables. @throws when a migration fails, or the database is newer. */
export async function migrate(db: Kysely<Tables>): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } });
  const { error } = await migrator.migrateToLatest();
  if (error) throw new Error('The database could not be brought to this version', { cause: error });
}
