// Deleted sessions whose traces outside of the tables are still to be erased: the write-ahead log, Temporal's histories.
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('sessions').addColumn('erased_at', 'bigint').execute();
  await db.schema
    .createIndex('sessions_unerased')
    .on('sessions')
    .column('id')
    .where(sql.ref('deleted_at'), 'is not', null)
    .where(sql.ref('erased_at'), 'is', null)
    .execute();
}
