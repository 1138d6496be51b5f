// What each repeated call is answered, as JSON. `resource_id` stays for processes of the version before.
import type { Kysely } from 'kysely';

export const up = (db: Kysely<unknown>): Promise<void> =>
  db.schema.alterTable('idempotency_keys').addColumn('result', 'text').execute();
