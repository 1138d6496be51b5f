// Reads sessions and maintains their metadata index.
import type { Kysely, Transaction } from 'kysely';
import type { SessionRow, Tables } from './schema.ts';
import { createSessionScan } from './session-scan.ts';

export type SessionsStore = ReturnType<typeof createSessionsStore>;

/** Writes the index of the metadata. The session row holds the whole metadata. */
export async function indexMetadata(
  rows: Transaction<Tables>,
  { id, account_id, created_at }: SessionRow,
  metadata: Record<string, string>,
): Promise<void> {
  await rows.deleteFrom('session_metadata').where('session_id', '=', id).execute();
  const values = Object.entries(metadata).map(([key, value]) => ({
    ...{ session_id: id, account_id, created_at },
    ...{ key, value },
  }));
  if (values.length > 0) await rows.insertInto('session_metadata').values(values).execute();
}

export function createSessionsStore(db: Kysely<Tables>) {
  /** Leaves out deleted sessions, and sessions whose deletion was cut short between its two transactions. */
  const visible = () =>
    db
      .selectFrom('sessions')
      .where('deleted_at', 'is', null)
      .where((eb) => eb.or([eb('ended_reason', 'is', null), eb('ended_reason', '!=', 'deleted')]));

  /** @returns undefined for another account's session too, so nobody learns that the session exists. */
  const get = (accountId: string, id: string): Promise<SessionRow | undefined> =>
    visible().selectAll().where('account_id', '=', accountId).where('id', '=', id).executeTakeFirst();

  /** The full rows of these sessions in the same order. Leaves out sessions deleted in the meantime. */
  async function whole(outlines: readonly Pick<SessionRow, 'id'>[]): Promise<SessionRow[]> {
    if (outlines.length === 0) return [];
    const ids = outlines.map(({ id }) => id);
    const found = await visible().selectAll().where('id', 'in', ids).execute();
    const rows = new Map(found.map((row) => [row.id, row]));
    return ids.flatMap((id) => rows.get(id) ?? []);
  }

  /** The last `seq` of each session's log. */
  const seqsOf = (ids: string[]): Promise<Pick<SessionRow, 'id' | 'seq'>[]> =>
    db.selectFrom('sessions').select(['id', 'seq']).where('id', 'in', ids).execute();

  return { get, whole, seqsOf, ...createSessionScan(db) };
}
