// Rows of the message tree: one operation per function, for transactions and plain reads.
import type { Kysely } from 'kysely';
import { createBranchReader } from './branch.ts';
import { createQueueRows } from './queue-rows.ts';
import type { MessagePatch, MessageRow, NewMessage, Tables } from './schema.ts';
import { createStepRows } from './step-rows.ts';
import { createToolCallRows } from './tool-call-rows.ts';

export type MessageRows = ReturnType<typeof createMessageRows>;

export function createMessageRows(db: Kysely<Tables>) {
  const get = (id: string): Promise<MessageRow | undefined> =>
    db.selectFrom('messages').selectAll().where('id', '=', id).executeTakeFirst();

  /** Unordered. */
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

  const userOf = (replyId: string): Promise<MessageRow | undefined> =>
    db.selectFrom('messages').selectAll().where('reply_id', '=', replyId).executeTakeFirst();

  /** The copy of a message that is queued, or was attached to this head. */
  const copyOf = (message: MessageRow, head: string | null): Promise<MessageRow | undefined> =>
    db
      .selectFrom('messages')
      .selectAll()
      .where('session_id', '=', message.session_id)
      .where('copy_of', '=', message.id)
      .where((eb) => eb.or([eb('status', '=', 'queued'), eb('parent_id', head === null ? 'is' : '=', head)]))
      .executeTakeFirst();

  return {
    ...{ get, getAll, insert, update, userOf },
    copyOf,
    ...createBranchReader(db, get),
    ...createQueueRows(db),
    ...createStepRows(db),
    ...createToolCallRows(db),
  };
}
