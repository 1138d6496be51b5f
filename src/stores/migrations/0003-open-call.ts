// What the model call under way has cost so far, so that a killed attempt is billed for what is known of it.
import type { Kysely } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('sessions').addColumn('open_call', 'text').execute();
}
