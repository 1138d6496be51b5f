// The turn that a session is at, and the ways in which a new message or a client ends it from outside of its workflow.
import type { Catalogue } from '../models/catalogue.ts';
import { type SessionTransaction, stepHasStreamed } from '../stores/log.ts';
import type { MessageRow } from '../stores/schema.ts';
import { closeReply, closeUnbegun } from './close.ts';

/**
 * The reply that the session is at: the open one, else the one of the first message that waits, whose turn may begin at
 * any moment. So it does not depend on how fast a worker is which turn an interrupt means.
 */
export async function currentReplyId(tx: SessionTransaction): Promise<string | null> {
  if (tx.session.open_reply_id !== null) return tx.session.open_reply_id;
  return (await tx.messages.firstQueued(tx.session.id))?.reply_id ?? null;
}

/**
 * Ends the turn that the session is at, inside the caller's transaction. The workflow is told afterwards: until it hears,
 * the fence keeps whoever still works on the reply from writing. @returns the closed reply, undefined when none was due.
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
 * Ends a reply that a waiting message steers, in place of its next step. Every further step asks here before it begins;
 * a step whose text readers have already is under way, and the next edge is at its end.
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
