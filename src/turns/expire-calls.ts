// Expired tool calls: the model receives a timeout result, or the reply fails, depending on the tool's `on_timeout`.
import { messageError } from '../contracts/errors.ts';
import type { SessionLog, SessionTransaction } from '../stores/log.ts';
import type { MessageRow, SessionRow, ToolCallRow } from '../stores/schema.ts';
import { closeReply, type ReplyRef, storably } from './close.ts';
import { announceCalls, settleCall } from './tool-calls.ts';

export interface ExpiredCalls {
  session: SessionRow;
  reply: MessageRow;
  /** Calls that haven't expired. */
  open: ToolCallRow[];
}

const secondsOf = (call: ToolCallRow): number =>
  Math.round(((call.expires_at ?? call.created_at) - call.created_at) / 1_000);

async function timeOut(tx: SessionTransaction, call: ToolCallRow): Promise<void> {
  const result = `No result came within ${secondsOf(call)} seconds.`;
  await settleCall(tx, call, { status: 'timed_out', result, isError: true });
}

async function expire(
  tx: SessionTransaction,
  reply: MessageRow,
  nowMs: number,
  isBare: boolean,
): Promise<ExpiredCalls> {
  const open = await tx.messages.openToolCalls(reply.id);
  const due = open.filter(({ expires_at }) => expires_at !== null && expires_at <= nowMs);
  for (const call of due) await timeOut(tx, call);
  const fatal = due.find(({ on_timeout }) => on_timeout === 'fail');
  if (fatal) {
    const words = `The tool '${fatal.name}' had no result within ${secondsOf(fatal)} seconds`;
    const error = messageError('tool_timed_out', words);
    const failed = await closeReply(tx, reply, { status: 'failed', error, isBare });
    return { session: tx.session, reply: failed, open: [] };
  }
  const announced = due.length > 0 ? await announceCalls(tx, reply) : reply;
  return { session: tx.session, reply: announced, open: open.filter((call) => !due.includes(call)) };
}

export const createExpireCalls =
  ({ log }: { log: SessionLog }) =>
  /**
   * @param nowMs The workflow's clock, so its timer and the rows can't disagree. @returns undefined if the reply no
   * longer exists.
   */
  (ref: ReplyRef, nowMs: number): Promise<ExpiredCalls | undefined> =>
    storably((isBare) =>
      log.write(ref.sessionId, async (tx) => {
        const reply = await tx.messages.get(ref.replyId);
        // An ended reply has no open calls.
        return reply && expire(tx, reply, nowMs, isBare);
      }),
    );
