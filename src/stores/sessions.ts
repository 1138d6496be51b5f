// Plain reads of sessions, and the rows that creating, changing and removing one touches.
import { type Kysely, sql, type Transaction } from 'kysely';
import { withdrawDeliveries } from './delivery-rows.ts';
import { type Keyset, page } from './keyset.ts';
import type { SessionRow, Tables } from './schema.ts';

export type SessionsStore = ReturnType<typeof createSessionsStore>;

export interface SessionQuery extends Keyset {
  accountId: string;
  status?: SessionRow['status'][];
  model?: string;
  createdAfterMs?: number;
  createdBeforeMs?: number;
  metadata: Record<string, string>;
}

/** A session without what it holds: when it was made, and how long it is. */
export interface SessionOutline extends Pick<SessionRow, 'id' | 'created_at'> {
  bytes: number;
}

/** Bytes that a list reads for a session. Of the tools it shows names only, but a row's tools are read together. */
const summaryBytes = sql<number>`2048 + octet_length(tools) + octet_length(metadata) + octet_length(turn_options)`;

/** Writes the index of the metadata; the session row holds the whole. */
export async function indexMetadata(
  rows: Transaction<Tables>,
  sessionId: string,
  metadata: Record<string, string>,
): Promise<void> {
  await rows.deleteFrom('session_metadata').where('session_id', '=', sessionId).execute();
  const values = Object.entries(metadata).map(([key, value]) => ({ session_id: sessionId, key, value }));
  if (values.length > 0) await rows.insertInto('session_metadata').values(values).execute();
}

/**
 * Removes everything that a session holds but its row. Idempotency keys live out their day: a repeated DELETE is to hear
 * that it has worked, and a late retry of the creation must not make a second session, but learn that the one it made
 * is gone (404). They hold no contents, only ids and digests. Of its deliveries the rows stay, without their bodies.
 */
export async function removeContents(
  rows: Transaction<Tables>,
  sessionId: string,
  now: number,
): Promise<void> {
  await withdrawDeliveries(rows, sessionId, now);
  for (const table of ['events', 'steps', 'tool_calls', 'messages', 'session_metadata'] as const)
    await rows.deleteFrom(table).where('session_id', '=', sessionId).execute();
}

export function createSessionsStore(db: Kysely<Tables>) {
  /** Not what was deleted, nor what is about to be: its deletion may have been cut short between its two transactions. */
  const visible = () =>
    db
      .selectFrom('sessions')
      .where('deleted_at', 'is', null)
      .where((eb) => eb.or([eb('ended_reason', 'is', null), eb('ended_reason', '!=', 'deleted')]));

  /** @returns undefined for another account's session too, so that nobody learns that it exists. */
  const get = (accountId: string, id: string): Promise<SessionRow | undefined> =>
    visible().selectAll().where('account_id', '=', accountId).where('id', '=', id).executeTakeFirst();

  /** The whole of these, in their order; without those that were deleted meanwhile. */
  async function whole(outlines: readonly SessionOutline[]): Promise<SessionRow[]> {
    if (outlines.length === 0) return [];
    const ids = outlines.map(({ id }) => id);
    const found = await visible().selectAll().where('id', 'in', ids).execute();
    const rows = new Map(found.map((row) => [row.id, row]));
    return ids.flatMap((id) => rows.get(id) ?? []);
  }

  function list(query: SessionQuery): Promise<SessionOutline[]> {
    let select = visible()
      .select(['id', 'created_at'])
      .select(summaryBytes.as('bytes'))
      .where('account_id', '=', query.accountId);
    if (query.status) select = select.where('status', 'in', query.status);
    if (query.model !== undefined) select = select.where('model', '=', query.model);
    if (query.createdAfterMs !== undefined) select = select.where('created_at', '>', query.createdAfterMs);
    if (query.createdBeforeMs !== undefined) select = select.where('created_at', '<', query.createdBeforeMs);
    for (const [key, value] of Object.entries(query.metadata))
      select = select.where(({ exists, selectFrom }) =>
        exists(
          selectFrom('session_metadata')
            .select('session_metadata.key')
            .whereRef('session_metadata.session_id', '=', 'sessions.id')
            .where('session_metadata.key', '=', key)
            .where('session_metadata.value', '=', value),
        ),
      );
    return page(select, query).execute();
  }

  /** Where these sessions' logs end. */
  const seqsOf = (ids: string[]): Promise<Pick<SessionRow, 'id' | 'seq'>[]> =>
    db.selectFrom('sessions').select(['id', 'seq']).where('id', 'in', ids).execute();

  return { get, list, whole, seqsOf };
}
