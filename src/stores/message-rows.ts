// Rows of the message tree: one operation a function, for transactions and for plain reads alike.
import type { Kysely } from 'kysely';
import type { MessagePatch, MessageRow, NewMessage, StepRow, Tables } from './schema.ts';

export type MessageRows = ReturnType<typeof createMessageRows>;

/** A page of the branch is read with some rows to spare, for rows of other branches lie between. */
const BRANCH_PAGE_ROWS = 500;

export function createMessageRows(db: Kysely<Tables>) {
  const get = (id: string): Promise<MessageRow | undefined> =>
    db.selectFrom('messages').selectAll().where('id', '=', id).executeTakeFirst();

  const insert = async (...rows: NewMessage[]): Promise<void> => {
    await db.insertInto('messages').values(rows).execute();
  };

  const update = async (id: string, patch: MessagePatch): Promise<void> => {
    await db.updateTable('messages').set(patch).where('id', '=', id).execute();
  };

  /** User messages of the session that wait for their turn, in order of acceptance. */
  const queued = (sessionId: string): Promise<MessageRow[]> =>
    db
      .selectFrom('messages')
      .selectAll()
      .where('session_id', '=', sessionId)
      .where('status', '=', 'queued')
      .where('role', '=', 'user')
      .orderBy('position')
      .execute();

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

  /** User messages that never joined the branch: waiting, or failed when the session ended. */
  const unattached = (sessionId: string): Promise<MessageRow[]> =>
    db
      .selectFrom('messages')
      .selectAll()
      .where('session_id', '=', sessionId)
      .where('role', '=', 'user')
      .where('depth', 'is', null)
      .orderBy('position')
      .execute();

  const userOf = (replyId: string): Promise<MessageRow | undefined> =>
    db.selectFrom('messages').selectAll().where('reply_id', '=', replyId).executeTakeFirst();

  const range = (sessionId: string, depthMax: number): Promise<MessageRow[]> =>
    db
      .selectFrom('messages')
      .selectAll()
      .where('session_id', '=', sessionId)
      .where('depth', '<=', depthMax)
      .orderBy('depth', 'desc')
      .limit(BRANCH_PAGE_ROWS)
      .execute();

  /** The branch that ends in `head`, newest first, at most `limit` rows. Reads ranges, not parent by parent. */
  async function branch(head: string | null, limit = Number.POSITIVE_INFINITY): Promise<MessageRow[]> {
    const found: MessageRow[] = [];
    let loaded = new Map<string, MessageRow>();
    let next = head;
    while (next !== null && found.length < limit) {
      let row = loaded.get(next);
      if (!row) {
        row = await get(next);
        if (!row || row.depth === null) break;
        loaded = new Map((await range(row.session_id, row.depth)).map((each) => [each.id, each]));
      }
      found.push(row);
      next = row.parent_id;
    }
    return found;
  }

  /** Whether the branch that ends in `head` holds the message. */
  async function isOnBranch(message: MessageRow, head: string | null): Promise<boolean> {
    const last = head === null ? undefined : await get(head);
    if (!last || last.depth === null || message.depth === null) return false;
    const levels = last.depth - message.depth + 1;
    return levels > 0 && (await branch(head, levels)).at(-1)?.id === message.id;
  }

  /** The copy of a message that waits for its turn, or has had it on this head. */
  const copyOf = (message: MessageRow, head: string | null): Promise<MessageRow | undefined> =>
    db
      .selectFrom('messages')
      .selectAll()
      .where('session_id', '=', message.session_id)
      .where('copy_of', '=', message.id)
      .where((eb) => eb.or([eb('status', '=', 'queued'), eb('parent_id', head === null ? 'is' : '=', head)]))
      .executeTakeFirst();

  const insertStep = async (row: StepRow): Promise<void> => {
    await db.insertInto('steps').values(row).execute();
  };

  const steps = (replyIds: string[]): Promise<StepRow[]> =>
    replyIds.length === 0
      ? Promise.resolve([])
      : db.selectFrom('steps').selectAll().where('reply_id', 'in', replyIds).orderBy('n').execute();

  return {
    ...{ get, insert, update, queued, countQueued, unattached, userOf },
    ...{ branch, isOnBranch, copyOf, insertStep, steps },
  };
}
