// `openclaw migrate`: applies database migrations to PostgreSQL and exits, for deployments that migrate before they start.
import type { Config } from '../config.ts';
import { createLog } from '../log.ts';
import { migrateDatabase } from '../stores/open.ts';
import { databaseUrlOf } from './deployment.ts';

export async function migrate(config: Config): Promise<number> {
  const done = await migrateDatabase(databaseUrlOf('migrate', config), createLog(config.logLevel));
  process.stdout.write(done.length > 0 ? `Migrated: ${done.join(', ')}\n` : 'Nothing to migrate\n');
  return 0;
}
