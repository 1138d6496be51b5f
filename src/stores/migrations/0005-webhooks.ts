// Webhooks, and what is to be sent to them.
import type { Kysely } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('webhooks')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('account_id', 'text', (column) => column.notNull())
    .addColumn('url', 'text', (column) => column.notNull())
    .addColumn('events', 'text', (column) => column.notNull())
    .addColumn('description', 'text')
    .addColumn('filter', 'text')
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('disabled_reason', 'text')
    .addColumn('secret', 'text', (column) => column.notNull())
    .addColumn('next_secret', 'text')
    .addColumn('next_secret_at', 'bigint')
    .addColumn('failing_since', 'bigint')
    .addColumn('open_until', 'bigint')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('deliveries')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('webhook_id', 'text', (column) => column.notNull())
    .addColumn('account_id', 'text', (column) => column.notNull())
    .addColumn('session_id', 'text')
    .addColumn('event_id', 'text', (column) => column.notNull())
    .addColumn('event_type', 'text', (column) => column.notNull())
    .addColumn('seq', 'bigint')
    .addColumn('body', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('attempts', 'text', (column) => column.notNull())
    .addColumn('attempt_count', 'bigint', (column) => column.notNull())
    .addColumn('next_attempt_at', 'bigint')
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('lease_until', 'bigint')
    .addColumn('lease_by', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('completed_at', 'bigint')
    .execute();
  const index = (name: string, table: 'webhooks' | 'deliveries') => db.schema.createIndex(name).on(table);
  await index('webhooks_by_account', 'webhooks').columns(['account_id', 'created_at', 'id']).execute();
  await index('deliveries_by_webhook', 'deliveries').columns(['webhook_id', 'created_at', 'id']).execute();
  await index('deliveries_by_session', 'deliveries').columns(['session_id', 'seq']).execute();
  await index('deliveries_by_due_time', 'deliveries').columns(['status', 'next_attempt_at']).execute();
}
