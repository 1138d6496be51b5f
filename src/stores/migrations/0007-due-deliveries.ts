// Ways to the deliveries that are due, none of which grows with what waits for an endpoint that is away.
import type { Kysely } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.dropIndex('deliveries_by_due_time').execute();
  await db.schema.dropIndex('deliveries_waiting_by_webhook').execute();
  const index = (name: string) => db.schema.createIndex(name).on('deliveries');
  await index('deliveries_waiting_by_owner').columns(['status', 'owner', 'next_attempt_at']).execute();
  await index('deliveries_waiting_by_webhook')
    .columns(['webhook_id', 'status', 'owner', 'next_attempt_at', 'seq'])
    .execute();
  await index('deliveries_taken')
    .columns(['webhook_id', 'lease_until'])
    .where('lease_until', 'is not', null)
    .execute();
}
