// Ways for the sweep to what is open, lost or overdue, none of which grows with the sessions that are idle or have ended.
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  // A way to all active sessions: planners took it for any question about some of them.
  await db.schema.dropIndex('sessions_by_expiry').execute();
  const index = (name: string) => db.schema.createIndex(name).on('sessions');
  await index('sessions_expiring')
    .columns(['status', 'expires_at'])
    .where('expires_at', 'is not', null)
    .execute();
  await index('sessions_answering')
    .column('lease_renewed_at')
    .where(sql.ref('open_reply_id'), 'is not', null)
    .execute();
  await index('sessions_end_unsignalled')
    .column('ended_at')
    .where('ended_at', 'is not', null)
    .where(sql.ref('end_signalled_at'), 'is', null)
    .execute();
  await index('sessions_half_deleted')
    .column('updated_at')
    .where(sql.ref('ended_reason'), '=', 'deleted')
    .where(sql.ref('deleted_at'), 'is', null)
    .execute();
}
