// Waits for a reply, for clients that want the answer in the response.
import { notFound } from '../../contracts/errors.ts';
import { type EventType, FINAL_EVENTS } from '../../contracts/events.ts';
import { isTerminal, type Message } from '../../contracts/messages.ts';
import { createBell, POLL_INTERVAL_MS } from '../../events/bell.ts';
import type { Change, LiveChannel } from '../../events/live-channel.ts';
import { unlessAway } from '../../events/unless-away.ts';
import type { MessageRow } from '../../stores/schema.ts';
import type { MessageReader } from './reader.ts';

export interface ReplyRef {
  sessionId: string;
  replyId: string;
}

export interface WaitDeps {
  reader: MessageReader;
  channel: LiveChannel;
  syncWaitMs: number;
}

/** Of the session or of the turn before: it has ended, or it waits for the client's own results. */
const OTHERS: readonly EventType[] = ['session.ended', 'message.requires_action'];

/** Whoever waits for the end has no use for what comes before it, nor for other messages' ends; a deletion names none. */
const mayEnd =
  (replyId: string) =>
  ({ events }: Change): boolean =>
    !events ||
    events.some(({ type, message_id }) => (message_id === replyId ? FINAL_EVENTS : OTHERS).includes(type));

interface Wait {
  message: Message;
  settled: boolean;
}

/** The reply, when it is queued behind a turn that waits for the client's own results: with these. */
async function behindWaitingTurn(reader: MessageReader, row: MessageRow): Promise<Message | undefined> {
  if (row.status !== 'queued') return undefined;
  const message = await reader.view(row);
  return message.waiting_for.length > 0 ? message : undefined;
}

export const createBehindWaitingTurn =
  ({ reader }: Pick<WaitDeps, 'reader'>) =>
  async ({ replyId }: ReplyRef): Promise<Message | undefined> => {
    const row = await reader.get(replyId);
    return row && behindWaitingTurn(reader, row);
  };

export function createWait({ reader, channel, syncWaitMs }: WaitDeps) {
  /** What there is to answer with now: the end, or a turn that needs the caller; undefined while waiting may help. */
  async function answerTo(row: MessageRow): Promise<Wait | undefined> {
    if (isTerminal(row.status) || row.status === 'requires_action')
      return { message: await reader.view(row), settled: true };
    const message = await behindWaitingTurn(reader, row);
    return message && { message, settled: false };
  }

  async function find(replyId: string): Promise<MessageRow> {
    const row = await reader.get(replyId);
    if (!row) throw notFound('message');
    return row;
  }

  /**
   * Waits until the reply is over or needs the caller, at most the configured time; not at all behind a turn that waits
   * for the client's own results. A store that is away meanwhile is waited for. @throws 404 when its session is deleted meanwhile.
   */
  return async function waitForReply({ sessionId, replyId }: ReplyRef, signal: AbortSignal): Promise<Wait> {
    const bell = createBell(signal);
    const concerns = mayEnd(replyId);
    const unsubscribe = channel.subscribe(sessionId, (change) => {
      if (concerns(change)) bell.ring();
    });
    const deadline = Date.now() + syncWaitMs;
    try {
      for (;;) {
        const heard = bell.listen();
        const answer = await unlessAway(find(replyId).then(answerTo));
        if (answer) return answer;
        const leftMs = deadline - Date.now();
        if (leftMs <= 0 || signal.aborted)
          return { message: await reader.view(await find(replyId)), settled: false };
        await heard(Math.min(leftMs, POLL_INTERVAL_MS));
      }
    } finally {
      unsubscribe();
      bell.stop();
    }
  };
}
