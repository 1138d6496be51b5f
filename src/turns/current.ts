// The current turn of a session, and how a new message or a client ends the turn without the workflow.
import type { Catalogue } from '../models/catalogue.ts';
import { type SessionTransaction, stepHasStreamed } from '../stores/log.ts';
import type { MessageRow } from '../stores/schema.ts';
import { closeReply, closeUnbegun } from './close.ts';

/**
 * The current reply: the open reply, or else the reply of the first queued message, whose turn may begin at any moment.
 * An interrupt therefore means the same turn however fast a worker is.
 */
export async function currentReplyId(tx: SessionTransaction): Promise<string | null> {
  if (tx.session.open_reply_id !== null) return tx.session.open_reply_id;
  return (await tx.messages.firstQueued(tx.session.id))?.reply_id ?? null;
}

/**
 * Ends the current turn inside the caller's transaction. Until the workflow receives the signal, the fence stops other
 * writers of the reply. @returns the closed reply, or undefined if there was no current turn.
 */
export async function interruptCurrent(
  tx: SessionTransaction,
  catalogue: Catalogue,
  isBare = false,
): Promise<MessageRow | undefined> {
  const replyId = await currentReplyId(tx);
  const reply = replyId === null ? undefined : await tx.messages.get(replyId);
  const user = reply && (await tx.messages.userOf(reply.id));
  if (!reply || !user) return undefined;
  if (reply.status !== 'queued') return closeReply(tx, reply, { status: 'interrupted', isBare });
  const turn = { user, reply, head: tx.session.head };
  return closeUnbegun(tx, catalogue, turn, { status: 'interrupted', isBare });
}

/**
 * Ends a reply that a queued message steers, in place of the next step. Every step after the first checks before it
 * begins. A step whose text readers already have continues, and the next check follows its end.
 */
export async function closeSteered(
  tx: SessionTransaction,
  reply: MessageRow,
  step: number,
  isBare: boolean,
): Promise<MessageRow | undefined> {
  if (step === 1) return undefined;
  if (!(await tx.messages.steering(tx.session.id, reply.id))) return undefined;
  if (await stepHasStreamed(tx.rows, reply.id, step)) return undefined;
  return closeReply(tx, reply, { status: 'completed', stopReason: 'steered', isBare });
}
