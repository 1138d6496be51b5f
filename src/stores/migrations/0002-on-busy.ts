// The reply that a message has ended when it was accepted, or ends at the edge of a step.
import type { Kysely } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('messages').addColumn('interrupts_reply_id', 'text').execute();
  await db.schema.alterTable('messages').addColumn('steers_reply_id', 'text').execute();
}
