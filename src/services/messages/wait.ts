// Waits for a reply, for clients that want the answer in the response.
import { notFound } from '../../contracts/errors.ts';
import { isTerminal, type Message } from '../../contracts/messages.ts';
import { createBell, POLL_INTERVAL_MS } from '../../events/bell.ts';
import type { Change, LiveChannel } from '../../events/live-channel.ts';
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

/** Words change nothing for who waits for the end, nor does what happens to other messages; a deletion names none. */
const mayEnd =
  (replyId: string) =>
  ({ events }: Change): boolean =>
    !events ||
    events.some(({ type, message_id }) =>
      message_id === null ? type === 'session.ended' : message_id === replyId && type !== 'message.delta',
    );

export const createWait = ({ reader, channel, syncWaitMs }: WaitDeps) =>
  /** Waits for the reply's end, at most the configured time. @throws 404 when its session is deleted meanwhile. */
  async function waitForReply(
    { sessionId, replyId }: ReplyRef,
    signal: AbortSignal,
  ): Promise<{ message: Message; settled: boolean }> {
    const bell = createBell(signal);
    const concerns = mayEnd(replyId);
    const unsubscribe = channel.subscribe(sessionId, (change) => {
      if (concerns(change)) bell.ring();
    });
    const deadline = Date.now() + syncWaitMs;
    try {
      for (;;) {
        const heard = bell.listen();
        const row = await reader.get(replyId);
        if (!row) throw notFound('message');
        const settled = isTerminal(row.status);
        const leftMs = deadline - Date.now();
        if (settled || leftMs <= 0 || signal.aborted) return { message: await reader.view(row), settled };
        await heard(Math.min(leftMs, POLL_INTERVAL_MS));
      }
    } finally {
      unsubscribe();
      bell.stop();
    }
  };
