// The store's view of a session, for a workflow run that starts without carried state.
import type {
  MessageSignal,
  PendingCall,
  PendingMessage,
  RunningTurn,
  SessionSnapshot,
} from '../../workflows/protocol.ts';
import type { SessionLog, SessionTransaction } from '../stores/log.ts';
import type { MessageRow, SessionRow, ToolCallRow } from '../stores/schema.ts';

/** Maximum UTF-16 units of a text shown in Temporal's UI. */
const PREVIEW_LENGTH = 80;

/** Extra length because the preview collapses white space. */
const PREVIEWED_LENGTH = PREVIEW_LENGTH * 2;

/** The beginning of a text on one line. */
export function preview(text: string): string {
  const line = text.slice(0, PREVIEWED_LENGTH).replace(/\s+/g, ' ').trim();
  const shown = line.length > PREVIEW_LENGTH ? `${line.slice(0, PREVIEW_LENGTH - 1)}…` : line;
  // Either cut may have split a surrogate pair.
  return shown.toWellFormed();
}

type Previewed = Pick<MessageRow, 'id' | 'reply_id' | 'position' | 'text'>;

/** The workflow's view of a message. */
export const pending = (user: Previewed, showPreviews: boolean): PendingMessage => ({
  messageId: user.id,
  replyId: user.reply_id ?? '',
  position: user.position ?? 0,
  preview: showPreviews ? preview(user.text) : '',
});

/** The signal of an accepted message. */
export const messageSignal = (
  session: SessionRow,
  user: MessageRow,
  showPreviews: boolean,
): MessageSignal => ({
  ...pending(user, showPreviews),
  expiresAtMs: session.expires_at,
  ...(user.interrupts_reply_id === null ? {} : { interrupts: user.interrupts_reply_id }),
});

/** A call that the workflow waits for. */
export const pendingCall = ({ id, name, type, created_at, expires_at }: ToolCallRow): PendingCall => ({
  callId: id,
  name,
  sinceMs: created_at,
  expiresAtMs: expires_at,
  ...(type === 'builtin' ? { isBuiltIn: true } : {}),
});

/** The position of an open reply's turn: at a step being written, or after a step whose calls wait for results. */
async function running(
  tx: SessionTransaction,
  user: MessageRow,
  showPreviews: boolean,
): Promise<RunningTurn> {
  const turn = pending(user, showPreviews);
  const last = await tx.messages.lastStep(turn.replyId);
  if (last === 0) return { ...turn, step: 1 };
  const open = await tx.messages.openToolCalls(turn.replyId);
  return open.length > 0
    ? { ...turn, step: last, calls: open.map(pendingCall) }
    : { ...turn, step: last + 1 };
}

async function read(tx: SessionTransaction, showPreviews: boolean): Promise<SessionSnapshot> {
  const { session } = tx;
  const open = session.open_reply_id === null ? undefined : await tx.messages.userOf(session.open_reply_id);
  const queued = await tx.messages.queuedPreviews(session.id, showPreviews ? PREVIEWED_LENGTH : 0);
  const ended = session.deleted_at === null ? session.ended_reason : 'deleted';
  return {
    account: session.account_id,
    model: session.model,
    ended,
    expiresAtMs: session.expires_at,
    head: open ? open.parent_id : session.head,
    open: open ? await running(tx, open, showPreviews) : null,
    queue: queued.map((user) => pending(user, showPreviews)),
  };
}

export const createSnapshot =
  ({ log }: { log: SessionLog }) =>
  /** @returns undefined when there is no such session. */
  (sessionId: string, showPreviews: boolean): Promise<SessionSnapshot | undefined> =>
    log.write(sessionId, (tx) => read(tx, showPreviews));
