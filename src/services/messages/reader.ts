// Reads of messages that sessions and messages share.
import type { Kysely } from 'kysely';
import type { Message } from '../../contracts/messages.ts';
import { streamedText } from '../../stores/log.ts';
import { createMessageRows } from '../../stores/message-rows.ts';
import type { MessageRow, SessionRow, Tables } from '../../stores/schema.ts';
import { messageView, partialView } from '../../views/messages.ts';

export type MessageReader = ReturnType<typeof createMessageReader>;

export function createMessageReader(db: Kysely<Tables>) {
  const rows = createMessageRows(db);

  const view = async (row: MessageRow): Promise<Message> =>
    row.status === 'in_progress' ? partialView(row, await streamedText(db, row.id)) : messageView(row);

  /** The live branch, oldest first, then the user messages that never joined it. At most `limit` rows of the branch. */
  async function conversation(session: SessionRow, limit?: number): Promise<MessageRow[]> {
    const branch = await rows.branch(session.head, limit);
    return [...branch.reverse(), ...(await rows.unattached(session.id))];
  }

  return { get: rows.get, queued: rows.queued, view, conversation };
}
