// User messages that wait for their turn. A hundred of a megabyte each may wait, so queries read only the needed columns.
import { type Kysely, sql } from 'kysely';
import type { MessageRow, Tables } from './schema.ts';

type QueuedMessage = Pick<MessageRow, 'id' | 'reply_id' | 'position' | 'created_at'>;

export function createQueueRows(db: Kysely<Tables>) {
  const fromQueue = (sessionId: string) =>
    db
      .selectFrom('messages')
      .where('session_id', '=', sessionId)
      .where('status', '=', 'queued')
      .where('role', '=', 'user')
      .orderBy('position');

  /** The session's queued user messages in order of acceptance, without their contents. */
  const queued = (sessionId: string): Promise<QueuedMessage[]> =>
    fromQueue(sessionId).select(['id', 'reply_id', 'position', 'created_at']).execute();

  /** The same, with the first `length` characters of their text. */
  const queuedPreviews = (sessionId: string, length: number) =>
    fromQueue(sessionId)
      .select(['id', 'reply_id', 'position'])
      .select(sql<string>`substr(text, 1, ${length})`.as('text'))
      .execute();

  /** The next message to get a turn. */
  const firstQueued = (sessionId: string): Promise<MessageRow | undefined> =>
    fromQueue(sessionId).selectAll().limit(1).executeTakeFirst();

  /** The first queued message that steers this reply. */
  const steering = (sessionId: string, replyId: string): Promise<MessageRow | undefined> =>
    fromQueue(sessionId).selectAll().where('steers_reply_id', '=', replyId).limit(1).executeTakeFirst();

  const countQueued = async (sessionId: string): Promise<number> => {
    const { count } = await db
      .selectFrom('messages')
      .select((eb) => eb.fn.countAll().as('count'))
      .where('session_id', '=', sessionId)
      .where('status', '=', 'queued')
      .where('role', '=', 'user')
      .executeTakeFirstOrThrow();
    return Number(count);
  };

  return { queued, queuedPreviews, firstQueued, steering, countQueued };
}
