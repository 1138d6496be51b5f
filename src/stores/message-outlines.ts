// Messages without what they say: which ones a conversation has, in which order, and how long they are.
import { type Kysely, sql } from 'kysely';
import { walkBranch } from './branch.ts';
import type { MessageRow, Tables } from './schema.ts';
import { callBytes } from './tool-call-rows.ts';

export interface MessageOutline
  extends Pick<MessageRow, 'id' | 'session_id' | 'parent_id' | 'depth' | 'position' | 'role'> {
  /** Of its text and its blocks; both databases know them without reading either. */
  bytes: number;
}

export function createMessageOutlines(db: Kysely<Tables>) {
  const all = () =>
    db
      .selectFrom('messages')
      .select(['id', 'session_id', 'parent_id', 'depth', 'position', 'role'])
      .select(sql<number>`octet_length(text) + octet_length(blocks)`.as('bytes'));

  const get = (id: string): Promise<MessageOutline | undefined> =>
    all().where('id', '=', id).executeTakeFirst();

  const range = (sessionId: string, depthMax: number, rowsMax: number): Promise<MessageOutline[]> =>
    all()
      .where('session_id', '=', sessionId)
      .where('depth', '<=', depthMax)
      .orderBy('depth', 'desc')
      .limit(rowsMax)
      .execute();

  /** User messages that never joined the branch: waiting, or failed when the session ended. */
  const unattached = (sessionId: string): Promise<MessageOutline[]> =>
    all()
      .where('session_id', '=', sessionId)
      .where('role', '=', 'user')
      .where('depth', 'is', null)
      .orderBy('position')
      .execute();

  /** What the calls of each of these messages add to it; nothing is said of those that have made none. */
  async function bytesOfCalls(ids: string[]): Promise<Map<string, number>> {
    if (ids.length === 0) return new Map();
    const found = await db
      .selectFrom('tool_calls')
      .select('message_id')
      .select(sql<number>`sum(${callBytes})`.as('bytes'))
      .where('message_id', 'in', ids)
      .groupBy('message_id')
      .execute();
    return new Map(found.map(({ message_id, bytes }) => [message_id, Number(bytes)]));
  }

  return {
    ...{ unattached, bytesOfCalls },
    /** The branch that ends in `head`, newest first, at most `limit` of it. */
    branch: (head: string | null, limit?: number) => walkBranch({ get, range }, head, limit),
  };
}
