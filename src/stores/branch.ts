// Walks the message tree from a head to its root.
import type { Kysely } from 'kysely';
import type { MessageRow, Tables } from './schema.ts';

/** A page of the branch is read with some rows to spare, for rows of other branches lie between. */
const PAGE_ROWS = 500;

export function createBranchReader(db: Kysely<Tables>, get: (id: string) => Promise<MessageRow | undefined>) {
  /** The last message of the live branch, as the session has it now. */
  const head = async (sessionId: string): Promise<string | null> => {
    const row = await db.selectFrom('sessions').select('head').where('id', '=', sessionId).executeTakeFirst();
    return row?.head ?? null;
  };

  const range = (sessionId: string, depthMax: number): Promise<MessageRow[]> =>
    db
      .selectFrom('messages')
      .selectAll()
      .where('session_id', '=', sessionId)
      .where('depth', '<=', depthMax)
      .orderBy('depth', 'desc')
      .limit(PAGE_ROWS)
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

  return { head, branch, isOnBranch };
}
