// What sending needs beside the deliveries themselves: how often an endpoint has failed in a row, and ways to what is due.
import type { Kysely } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('webhooks')
    .addColumn('failures_in_row', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute();
  // What was delivered stays for reading; none of it may be walked through to find the few that wait.
  const index = (name: string) => db.schema.createIndex(name).on('deliveries');
  await index('deliveries_waiting_by_session').columns(['session_id', 'status', 'seq']).execute();
  await index('deliveries_waiting_by_webhook').columns(['webhook_id', 'status', 'next_attempt_at']).execute();
}
