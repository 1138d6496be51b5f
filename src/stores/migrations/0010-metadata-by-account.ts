// A way to the sessions of an account that hold a pair of metadata, in the order in which lists show them.
import { type Kysely, type QueryExecutorProvider, sql } from 'kysely';

/** An older process that still runs makes rows without them, so that each start fills them. The index below leads there. */
export async function fillAccounts(db: QueryExecutorProvider): Promise<void> {
  await sql`update session_metadata set
    account_id = (select account_id from sessions where sessions.id = session_metadata.session_id),
    created_at = (select created_at from sessions where sessions.id = session_metadata.session_id)
    where account_id is null`.execute(db);
}

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('session_metadata').addColumn('account_id', 'text').execute();
  await db.schema.alterTable('session_metadata').addColumn('created_at', 'bigint').execute();
  await fillAccounts(db);
  await db.schema.dropIndex('session_metadata_by_value').execute();
  await db.schema
    .createIndex('session_metadata_by_pair')
    .on('session_metadata')
    .columns(['account_id', 'key', 'value', 'created_at', 'session_id'])
    .execute();
}
