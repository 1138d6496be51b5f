// Calls of tools, with their results.
import type { Kysely } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('tool_calls')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('session_id', 'text', (column) => column.notNull())
    .addColumn('account_id', 'text', (column) => column.notNull())
    .addColumn('message_id', 'text', (column) => column.notNull())
    .addColumn('step', 'bigint', (column) => column.notNull())
    .addColumn('position', 'bigint', (column) => column.notNull())
    .addColumn('provider_id', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('parameters', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('result', 'text')
    .addColumn('is_error', 'bigint', (column) => column.notNull())
    .addColumn('on_timeout', 'text', (column) => column.notNull())
    .addColumn('expires_at', 'bigint')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('completed_at', 'bigint')
    .addColumn('signalled_at', 'bigint')
    .execute();
  const index = (name: string) => db.schema.createIndex(name).on('tool_calls');
  await index('tool_calls_by_message').columns(['message_id', 'step', 'position']).execute();
  await index('tool_calls_by_session').columns(['session_id', 'created_at', 'id']).execute();
  await index('tool_calls_by_account').columns(['account_id', 'created_at', 'id']).execute();
  // The sweep looks for results that nobody was told of, and for calls whose time is over.
  await index('tool_calls_by_status').columns(['status', 'expires_at']).execute();
  await index('tool_calls_unsignalled').columns(['signalled_at', 'completed_at']).execute();
}
