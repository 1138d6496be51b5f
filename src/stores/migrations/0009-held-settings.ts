// The settings of a turn in which its session's were changed.
import type { Kysely } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('sessions').addColumn('turn_settings', 'text').execute();
}
