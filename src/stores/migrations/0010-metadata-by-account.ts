// A way to the sessions of an account that hold a pair of metadata, in the order in which lists show them.
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('session_metadata').addColumn('account_id', 'text').execute();
  await db.schema.alterTable('session_metadata').addColumn('created_at', 'bigint').execute();
  await sql`update session_metadata set
    account_id = (select account_id from sessions where sessions.id = session_metadata.session_id),
    created_at = (select created_at from sessions where sessions.id = session_metadata.session_id)`.execute(
    db,
  );
  await db.schema.dropIndex('session_metadata_by_value').execute();
  await db.schema
    .createIndex('session_metadata_by_pair')
    .on('session_metadata')
    .columns(['account_id', 'key', 'value', 'created_at', 'session_id'])
    .execute();
}
