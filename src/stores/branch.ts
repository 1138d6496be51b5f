// Walks the message tree from a head to its root.
import type { Kysely } from 'kysely';
import type { MessageRow, Tables } from './schema.ts';

/** A page has some rows to spare, because rows of other branches lie between those of the branch. */
const PAGE_ROWS = 500;

/** The columns that a walk needs. */
type Linked = Pick<MessageRow, 'id' | 'session_id' | 'parent_id' | 'depth'>;

/** Reads messages, as whole rows or as a selection of columns. */
interface Source<Row> {
  get(id: string): Promise<Row | undefined>;
  /** Messages of a session down to this depth, the deepest first, at most `rowsMax`. */
  range(sessionId: string, depthMax: number, rowsMax: number): Promise<Row[]>;
}

/** The branch that ends in `head`, newest first, at most `limit` rows. Reads ranges, not parent by parent. */
export async function walkBranch<Row extends Linked>(
  { get, range }: Source<Row>,
  head: string | null,
  limit = Number.POSITIVE_INFINITY,
): Promise<Row[]> {
  const found: Row[] = [];
  let loaded = new Map<string, Row>();
  let next = head;
  while (next !== null && found.length < limit) {
    let row = loaded.get(next);
    if (!row) {
      row = await get(next);
      if (!row || row.depth === null) break;
      const rows = await range(row.session_id, row.depth, PAGE_ROWS);
      loaded = new Map(rows.map((each) => [each.id, each]));
    }
    found.push(row);
    next = row.parent_id;
  }
  return found;
}

export function createBranchReader(db: Kysely<Tables>, get: (id: string) => Promise<MessageRow | undefined>) {
  /** The last message of the live branch, as stored now. */
  const head = async (sessionId: string): Promise<string | null> => {
    const row = await db.selectFrom('sessions').select('head').where('id', '=', sessionId).executeTakeFirst();
    return row?.head ?? null;
  };

  const range = (sessionId: string, depthMax: number, rowsMax: number): Promise<MessageRow[]> =>
    db
      .selectFrom('messages')
      .selectAll()
      .where('session_id', '=', sessionId)
      .where('depth', '<=', depthMax)
      .orderBy('depth', 'desc')
      .limit(rowsMax)
      .execute();

  const branch = (head: string | null, limit?: number) => walkBranch({ get, range }, head, limit);

  /** True if the branch that ends in `head` contains the message. */
  async function isOnBranch(message: MessageRow, head: string | null): Promise<boolean> {
    const last = head === null ? undefined : await get(head);
    if (!last || last.depth === null || message.depth === null) return false;
    const levels = last.depth - message.depth + 1;
    return levels > 0 && (await branch(head, levels)).at(-1)?.id === message.id;
  }

  return { head, branch, isOnBranch };
}
