// Ways for the sweep to what is open, lost or overdue, none of which grows with the sessions that are idle or have ended.
import { type Kysely, sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  // A way to all active sessions: planners took it for any question about some of them.
  await db.schema.dropIndex('sessions_by_expiry').execute();
  await db.schema
    .createIndex('sessions_expiring')
    .on('sessions')
    .columns(['status', 'expires_at'])
    .where('expires_at', 'is not', null)
    .execute();
  // Over nothing that an ordinary write changes: PostgreSQL would write into each of the table's indexes then.
  await db.schema
    .createIndex('sessions_end_unsignalled')
    .on('sessions')
    .column('id')
    .where(sql.ref('ended_at'), 'is not', null)
    .where(sql.ref('end_signalled_at'), 'is', null)
    .execute();
  await db.schema
    .createIndex('sessions_half_deleted')
    .on('sessions')
    .column('id')
    .where(sql.ref('ended_reason'), '=', 'deleted')
    .where(sql.ref('deleted_at'), 'is', null)
    .execute();
  // It held every call that no client had answered: those of built-in tools for ever.
  await db.schema.dropIndex('tool_calls_unsignalled').execute();
  await db.schema
    .createIndex('tool_calls_unsignalled')
    .on('tool_calls')
    .column('completed_at')
    .where(sql.ref('type'), '=', 'custom')
    .where(sql.ref('status'), '=', 'completed')
    .where(sql.ref('signalled_at'), 'is', null)
    .execute();
}
