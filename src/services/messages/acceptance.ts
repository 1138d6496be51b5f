// The acceptance of a message: everything that is decided about it is decided here, from rows, in one transaction.
import { ApiError } from '../../contracts/errors.ts';
import type { OnBusy } from '../../contracts/messages.ts';
import type { Catalogue } from '../../models/catalogue.ts';
import type { SessionTransaction } from '../../stores/log.ts';
import type { MessageRow } from '../../stores/schema.ts';
import { idleDeadline } from '../../turns/attach.ts';
import { currentReplyId, interruptCurrent } from '../../turns/current.ts';
import { messageSignal } from '../../turns/snapshot.ts';
import { messageView } from '../../views/messages.ts';
import { checkMaxTokens, checkThinking, turnOptionsOf } from '../turn-options.ts';
import { type NamedReplies, type NewTurn, newRows } from './new-rows.ts';

/** Messages that may wait in one session; a client that sends more is told to slow down. */
export const QUEUE_MAX = 100;

/** The sweep asks after a new message once it has had this long to begin. */
const CHECK_AFTER_MS = 30_000;

export interface Accepted {
  user: MessageRow;
  replyId: string;
  seq: number;
}

export interface AcceptDeps {
  catalogue: Catalogue;
  showPreviews: boolean;
  /** An interrupted reply keeps its complete steps only. */
  isBare?: boolean;
}

const NONE: NamedReplies = { interrupts_reply_id: null, steers_reply_id: null };

/**
 * What the message does to the turn that the session is at. An interrupt ends it here and now, so that nothing can lose
 * the wish or apply it to a later turn. Messages that wait already keep their place: each was accepted with the promise
 * of an answer, and to take it back is its sender's matter. So a second interrupt ends the turn of the next in the queue.
 */
async function meetCurrentTurn(
  tx: SessionTransaction,
  onBusy: OnBusy,
  { catalogue, isBare }: AcceptDeps,
): Promise<NamedReplies> {
  switch (onBusy) {
    case 'queue':
      return NONE;
    case 'reject':
      if ((await currentReplyId(tx)) === null) return NONE;
      throw new ApiError('session_busy', 'The session is answering another message');
    case 'interrupt':
      return { ...NONE, interrupts_reply_id: (await interruptCurrent(tx, catalogue, isBare))?.id ?? null };
    case 'steer':
      return { ...NONE, steers_reply_id: await currentReplyId(tx) };
  }
}

async function checkQueue(tx: SessionTransaction): Promise<void> {
  if ((await tx.messages.countQueued(tx.session.id)) >= QUEUE_MAX)
    throw new ApiError('queue_full', `${QUEUE_MAX} messages of this session are waiting already`, {
      retryAfterSeconds: 1,
    });
}

function patchSession(tx: SessionTransaction): void {
  const idle = tx.session.open_reply_id === null;
  tx.patch({
    next_position: tx.session.next_position + 1,
    message_count: tx.session.message_count + 1,
    // The sweep has no reason to doubt a message that is on its way.
    check_at: tx.now + CHECK_AFTER_MS,
    expires_at: idle ? idleDeadline(tx.session.expires_after_seconds, tx.now) : null,
  });
}

/** Stores the message and the reply that will answer it. @throws ApiError from the state of the session. */
export async function acceptMessage(
  tx: SessionTransaction,
  turn: NewTurn,
  deps: AcceptDeps,
): Promise<Accepted> {
  if (tx.session.status !== 'active')
    throw new ApiError('session_ended', 'The session has ended; create a new one');
  const { catalogue, showPreviews } = deps;
  checkMaxTokens(catalogue, tx.session.model, turn.max_tokens);
  const own = turnOptionsOf(turn);
  const options = { ...JSON.parse(tx.session.turn_options), ...own };
  if (Object.keys(own).length > 0) checkThinking(catalogue, tx.session.model, options, own);
  const named = await meetCurrentTurn(tx, turn.on_busy ?? tx.session.on_busy, deps);
  // Refused, it has interrupted nothing: the transaction is undone.
  await checkQueue(tx);
  const { user, reply } = newRows(tx, turn, named);
  await tx.messages.insert(user, reply);
  patchSession(tx);
  tx.append('message.created', user.id, { message: messageView(user) });
  tx.tell('message', messageSignal(tx.session, user, showPreviews));
  return { user, replyId: reply.id, seq: tx.seq };
}
