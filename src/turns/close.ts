// Ends replies: by interruption, by failure, and with their session.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ApiError, type ErrorDetail, messageError } from '../contracts/errors.ts';
import { stringifyJson } from '../contracts/json.ts';
import { isTerminal } from '../contracts/messages.ts';
import type { Catalogue } from '../models/catalogue.ts';
import { type SessionLog, type SessionTransaction, stepHasStreamed, streamedText } from '../stores/log.ts';
import { addUsage, type MessagePatch, type MessageRow } from '../stores/schema.ts';
import { isStoreAway } from '../stores/store.ts';
import { blocksWith, messageView } from '../views/messages.ts';
import type { SessionView } from '../views/sessions.ts';
import { attach, idleDeadline } from './attach.ts';
import { chargeOpenCall } from './charge.ts';
import { tellEnd } from './tell-end.ts';
import { cancelOpenCalls } from './tool-calls.ts';
import { placeOf } from './unheard.ts';

export type Closing = (
  | { status: 'interrupted' }
  | { status: 'failed'; error: ErrorDetail }
  /** Every step so far is complete, and no further step is wanted. */
  | { status: 'completed'; stopReason: 'steered' }
) & {
  /** Keeps the complete steps only. */
  isBare?: boolean;
};

/**
 * Ends a reply with all streamed text. If the store refuses the text, the reply ends with its complete steps and a
 * plain message. A write that always fails would block the session forever.
 */
export async function storably<T>(write: (isBare: boolean) => Promise<T>): Promise<T> {
  try {
    return await write(false);
  } catch (error) {
    if (isStoreAway(error) || error instanceof ApiError) throw error;
    return await write(true);
  }
}

/** Voids the streamed text of an incomplete step. */
async function withdrawStep(tx: SessionTransaction, replyId: string): Promise<void> {
  const step = 1 + (await tx.messages.lastStep(replyId));
  if (await stepHasStreamed(tx.rows, replyId, step)) tx.append('message.reset', replyId, { step });
}

const stopReasonOf = (closing: Closing): string | null => {
  if (closing.status === 'completed') return closing.stopReason;
  return closing.status === 'interrupted' ? 'interrupted' : null;
};

/** The result for a call that is no longer needed. The model reads the result if the conversation continues from here. */
const NOT_WANTED = {
  interrupted: 'The turn was interrupted before this call had its result.',
  failed: 'The turn failed before this call had its result.',
  completed: 'The turn was ended before this call had its result.',
} as const;

/** Closes an open reply with the text already streamed. Raises the fence, so a model call in flight can't write to the reply. */
export async function closeReply(
  tx: SessionTransaction,
  reply: MessageRow,
  closing: Closing,
): Promise<MessageRow> {
  if (closing.isBare) await withdrawStep(tx, reply.id);
  const text = closing.isBare ? reply.text : await streamedText(tx.rows, reply.id);
  const errorCode = closing.status === 'failed' ? closing.error.code : null;
  const spent = await chargeOpenCall(tx, { outcome: closing.status, errorCode });
  const patch: MessagePatch = {
    status: closing.status,
    text,
    blocks: stringifyJson(blocksWith(reply, text)),
    stop_reason: stopReasonOf(closing),
    error: closing.status === 'failed' ? JSON.stringify(closing.error) : null,
    completed_at: tx.now,
    ...addUsage(reply, spent),
  };
  await tx.messages.update(reply.id, patch);
  const closed = { ...reply, ...patch } as MessageRow;
  await cancelOpenCalls(tx, reply.id, NOT_WANTED[closing.status]);
  tx.patch({
    fence: tx.session.fence + 1,
    open_reply_id: null,
    expires_at: idleDeadline(tx.session.expires_after_seconds, tx.now),
  });
  if (closing.status === 'failed') tx.append('error.occurred', reply.id, { error: closing.error });
  const calls = await tx.messages.toolCalls([reply.id]);
  tx.append(`message.${closing.status}`, reply.id, { message: messageView(closed, calls) });
  return closed;
}

/**
 * Closes a reply that is still open when another turn begins. Such a reply lies on a branch that the workflow lost in a
 * Temporal reset.
 */
export async function closeForgotten(
  tx: SessionTransaction,
  replyId: string,
  isBare: boolean,
): Promise<void> {
  const { open_reply_id } = tx.session;
  if (open_reply_id === null || open_reply_id === replyId) return;
  const open = await tx.messages.get(open_reply_id);
  if (open && !isTerminal(open.status)) await closeReply(tx, open, { status: 'interrupted', isBare });
}

/** Begins the turn of a queued message and ends the turn at once. */
export async function closeUnbegun(
  tx: SessionTransaction,
  catalogue: Catalogue,
  turn: { user: MessageRow; reply: MessageRow; head: string | null },
  closing: Closing,
): Promise<MessageRow> {
  await closeForgotten(tx, turn.reply.id, closing.isBare === true);
  return closeReply(tx, await attach(tx, catalogue, turn), closing);
}

export interface ReplyRef {
  sessionId: string;
  head: string | null;
  replyId: string;
}

/** The reply's current state, or the message whose turn comes before that reply's. */
export type Closed = { kind: 'closed'; reply: MessageRow } | { kind: 'instead'; user: MessageRow };

export interface EndReason {
  reason: 'completed' | 'expired' | 'archived' | 'deleted';
  /** Keeps only the complete steps of the open reply. */
  isBare?: boolean;
}

export interface CloseDeps {
  log: SessionLog;
  catalogue: Catalogue;
  sessionView: SessionView;
}

/** Used when the store refuses the real reason. */
const PLAIN_REASON = 'The reply failed, and its reason could not be stored';

/** The session's status for each end reason. Deleted sessions have no status of their own. */
const STATUS_OF = {
  completed: 'completed',
  expired: 'completed',
  archived: 'archived',
  deleted: 'completed',
} as const;

async function failQueued(tx: SessionTransaction): Promise<void> {
  const error = JSON.stringify(
    messageError('session_ended', 'The session ended before this message had its turn'),
  );
  const patch = { status: 'failed', error, completed_at: tx.now } as const;
  for (const { id, reply_id } of await tx.messages.queued(tx.session.id)) {
    for (const failedId of reply_id === null ? [id] : [id, reply_id]) {
      const row = await tx.messages.get(failedId);
      if (!row) continue;
      await tx.messages.update(failedId, patch);
      tx.append('message.failed', failedId, { message: messageView({ ...row, ...patch }) });
    }
    // The queue may hold a hundred messages of 1 MB each. SQLite blocks the event loop, so other work runs between two messages.
    await tx.flush();
    await nextTurn();
  }
}

export function createClose({ log, catalogue, sessionView }: CloseDeps) {
  /** Returns the other message if another message has its turn first. */
  async function closeQueued(
    tx: SessionTransaction,
    { reply, head }: { reply: MessageRow; head: string | null },
    closing: Closing,
  ): Promise<Closed | undefined> {
    const user = await tx.messages.firstQueued(tx.session.id);
    if (!user) return undefined;
    if (user.reply_id !== reply.id) return { kind: 'instead', user };
    const turn = { user, reply, head: await placeOf(tx, tx.session.head, head) };
    return { kind: 'closed', reply: await closeUnbegun(tx, catalogue, turn, closing) };
  }

  const close = (ref: ReplyRef, closing: Closing): Promise<Closed | undefined> =>
    log.write(ref.sessionId, async (tx) => {
      const reply = await tx.messages.get(ref.replyId);
      if (!reply) return undefined;
      if (tx.session.status !== 'active' || isTerminal(reply.status)) return { kind: 'closed', reply };
      if (reply.status === 'queued') return closeQueued(tx, { reply, head: ref.head }, closing);
      return { kind: 'closed', reply: await closeReply(tx, reply, closing) };
    });

  /** Interrupts the open reply and fails queued messages. */
  async function endActive(tx: SessionTransaction, { reason, isBare }: EndReason): Promise<void> {
    const open =
      tx.session.open_reply_id === null ? undefined : await tx.messages.get(tx.session.open_reply_id);
    if (open) await closeReply(tx, open, { status: 'interrupted', isBare });
    await failQueued(tx);
    tx.patch({
      status: STATUS_OF[reason],
      ended_reason: reason,
      ended_at: tx.now,
      expires_at: null,
      updated_at: tx.now,
      fence: tx.session.fence + 1,
    });
    tx.append('session.ended', null, { session: sessionView(tx.session), reason });
  }

  /** Ends an active session inside the caller's transaction. */
  async function endSession(tx: SessionTransaction, end: EndReason): Promise<void> {
    await endActive(tx, end);
    await tellEnd(tx, end.reason);
  }

  return {
    interrupt: (ref: ReplyRef) => storably((isBare) => close(ref, { status: 'interrupted', isBare })),
    fail: (ref: ReplyRef, reason: string) =>
      storably((isBare) => {
        const error = messageError('internal_error', isBare ? PLAIN_REASON : reason);
        return close(ref, { status: 'failed', error, isBare });
      }),
    endSession,
    /** Ends the session if it is still idle at its deadline. @returns the row afterwards, if it exists. */
    expire: (sessionId: string, nowMs: number) =>
      log.write(sessionId, async (tx) => {
        const { status, expires_at, open_reply_id } = tx.session;
        const due =
          status === 'active' && expires_at !== null && expires_at <= nowMs && open_reply_id === null;
        // The workflow learns of this end from the activity's result, so no signal is needed.
        if (due && (await tx.messages.countQueued(sessionId)) === 0)
          await endActive(tx, { reason: 'expired' });
        return tx.session;
      }),
  };
}
