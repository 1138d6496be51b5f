// Rows of the message tree: one operation a function, for transactions and for plain reads alike.
import type { Kysely } from 'kysely';
import { createBranchReader } from './branch.ts';
import type { MessagePatch, MessageRow, NewMessage, Tables } from './schema.ts';
import { createStepRows } from './step-rows.ts';
import { createToolCallRows } from './tool-call-rows.ts';

export type MessageRows = ReturnType<typeof createMessageRows>;

export function createMessageRows(db: Kysely<Tables>) {
  const get = (id: string): Promise<MessageRow | undefined> =>
    db.selectFrom('messages').selectAll().where('id', '=', id).executeTakeFirst();

  /** In no order. */
  const getAll = (ids: string[]): Promise<MessageRow[]> =>
    ids.length === 0
      ? Promise.resolve([])
      : db.selectFrom('messages').selectAll().where('id', 'in', ids).execute();

  const insert = async (...rows: NewMessage[]): Promise<void> => {
    await db.insertInto('messages').values(rows).execute();
  };

  const update = async (id: string, patch: MessagePatch): Promise<void> => {
    await db.updateTable('messages').set(patch).where('id', '=', id).execute();
  };

  const selectQueued = (sessionId: string) =>
    db
      .selectFrom('messages')
      .selectAll()
      .where('session_id', '=', sessionId)
      .where('status', '=', 'queued')
      .where('role', '=', 'user')
      .orderBy('position');

  /** User messages of the session that wait for their turn, in order of acceptance. */
  const queued = (sessionId: string): Promise<MessageRow[]> => selectQueued(sessionId).execute();

  /** The one whose turn is next: the others are not read, for they may be long. */
  const firstQueued = (sessionId: string): Promise<MessageRow | undefined> =>
    selectQueued(sessionId).limit(1).executeTakeFirst();

  /** The first message that waits and steers this reply. */
  const steering = (sessionId: string, replyId: string): Promise<MessageRow | undefined> =>
    selectQueued(sessionId).where('steers_reply_id', '=', replyId).limit(1).executeTakeFirst();

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

  const userOf = (replyId: string): Promise<MessageRow | undefined> =>
    db.selectFrom('messages').selectAll().where('reply_id', '=', replyId).executeTakeFirst();

  /** The copy of a message that waits for its turn, or has had it on this head. */
  const copyOf = (message: MessageRow, head: string | null): Promise<MessageRow | undefined> =>
    db
      .selectFrom('messages')
      .selectAll()
      .where('session_id', '=', message.session_id)
      .where('copy_of', '=', message.id)
      .where((eb) => eb.or([eb('status', '=', 'queued'), eb('parent_id', head === null ? 'is' : '=', head)]))
      .executeTakeFirst();

  return {
    ...{ get, getAll, insert, update, queued, firstQueued, steering, countQueued, userOf },
    copyOf,
    ...createBranchReader(db, get),
    ...createStepRows(db),
    ...createToolCallRows(db),
  };
}
