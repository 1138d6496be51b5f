// Accepts a message: every decision about the message is made here, from rows, in one transaction.
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

/** Queued messages per session. Further messages are refused with a retry delay. */
export const QUEUE_MAX = 100;

/** How long a new message may take to begin before the reconciler checks the session. */
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
 * Applies `on_busy` to the current turn. An interrupt ends the turn in this transaction, so the interrupt can't get
 * lost or hit a later turn. Queued messages keep their place, because each was accepted with the promise of a reply. A
 * second interrupt therefore ends the turn of the next queued message.
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
    // The reconciler leaves new messages time to begin.
    check_at: tx.now + CHECK_AFTER_MS,
    expires_at: idle ? idleDeadline(tx.session.expires_after_seconds, tx.now) : null,
  });
}

/** Stores the message and its queued reply. @throws ApiError depending on the session's state. */
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
  // A refusal rolls back the transaction, including an interrupt.
  await checkQueue(tx);
  const { user, reply } = newRows(tx, turn, named);
  await tx.messages.insert(user, reply);
  patchSession(tx);
  tx.append('message.created', user.id, { message: messageView(user) });
  tx.tell('message', messageSignal(tx.session, user, showPreviews));
  return { user, replyId: reply.id, seq: tx.seq };
}
