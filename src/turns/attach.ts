// Joins a queued user message and its reply to the branch. From this moment the turn exists.
import type { Catalogue } from '../models/catalogue.ts';
import type { SessionTransaction } from '../stores/log.ts';
import type { MessageRow } from '../stores/schema.ts';
import { messageView } from '../views/messages.ts';

/** When an idle session expires. Null if the session never expires. */
export const idleDeadline = (expiresAfterSeconds: number | null, now: number): number | null =>
  expiresAfterSeconds === null ? null : now + expiresAfterSeconds * 1_000;

export async function depthOf(tx: SessionTransaction, messageId: string | null): Promise<number> {
  if (messageId === null) return 0;
  return (await tx.messages.get(messageId))?.depth ?? 0;
}

/** Makes the user message the head's child, and the reply the user message's child. The reply is now in progress. */
export async function attach(
  tx: SessionTransaction,
  catalogue: Catalogue,
  turn: { user: MessageRow; reply: MessageRow; head: string | null },
): Promise<MessageRow> {
  const { user, reply, head } = turn;
  const depth = await depthOf(tx, head);
  const model = catalogue.find(tx.session.model)?.resolvesTo ?? tx.session.model;
  const opened = { status: 'in_progress', parent_id: user.id, depth: depth + 2, model } as const;
  const accepted = { status: 'completed', parent_id: head, depth: depth + 1, completed_at: tx.now } as const;
  await tx.messages.update(user.id, accepted);
  await tx.messages.update(reply.id, opened);
  const row = { ...reply, ...opened };
  tx.patch({
    head: reply.id,
    open_reply_id: reply.id,
    turn_settings: null,
    message_count: tx.session.message_count + 1,
    expires_at: null,
  });
  tx.append('message.created', reply.id, { message: messageView(row) });
  return row;
}
