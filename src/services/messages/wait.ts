// Waits for a reply, for clients that want the reply in the response.
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

/** Events of the session or of the turn before: the session has ended, or a turn waits for the client's results. */
const OTHERS: readonly EventType[] = ['session.ended', 'message.requires_action'];

/**
 * Ignores events that can't end the wait, such as the end of another message. A deletion lists no events and always
 * wakes the wait.
 */
const mayEnd =
  (replyId: string) =>
  ({ events }: Change): boolean =>
    !events ||
    events.some(({ type, message_id }) => (message_id === replyId ? FINAL_EVENTS : OTHERS).includes(type));

interface Wait {
  message: Message;
  settled: boolean;
}

/** The reply with the missing results, if it is queued behind a turn that waits for the client. */
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
  /** The response available now: the ended reply, or a turn that needs the caller. Undefined while waiting may help. */
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
   * Waits until the reply is over or needs the caller, at most the configured time. Returns immediately behind a turn
   * that waits for the client's results. A store outage during the wait is tolerated. @throws 404 when the session is
   * deleted during the wait.
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
