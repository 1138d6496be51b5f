// `openclaw migrate`: brings PostgreSQL to this version's tables and ends; for deployments that do it before they start.
import type { Config } from '../config.ts';
import { createLog } from '../log.ts';
import { migrateDatabase } from '../stores/open.ts';
import { databaseUrlOf } from './deployment.ts';

export async function migrate(config: Config): Promise<number> {
  const done = await migrateDatabase(databaseUrlOf('migrate', config), createLog(config.logLevel));
  process.stdout.write(done.length > 0 ? `Migrated: ${done.join(', ')}\n` : 'Nothing to migrate\n');
  return 0;
}
