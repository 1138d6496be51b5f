// A name that people give a session.
import type { Kysely } from 'kysely';

export const up = (db: Kysely<unknown>): Promise<void> =>
  db.schema.alterTable('sessions').addColumn('title', 'text').execute();
