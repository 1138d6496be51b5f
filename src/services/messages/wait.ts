// Waits for a reply, for clients that want the answer in the response.
import { notFound } from '../../contracts/errors.ts';
import { isTerminal, type Message } from '../../contracts/messages.ts';
import { createBell, POLL_INTERVAL_MS } from '../../events/bell.ts';
import type { LiveChannel } from '../../events/live-channel.ts';
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

export type WaitForReply = ReturnType<typeof createWait>;

export const createWait = ({ reader, channel, syncWaitMs }: WaitDeps) =>
  /** Waits for the reply's end, at most the configured time. @throws 404 when its session is deleted meanwhile. */
  async function waitForReply(
    { sessionId, replyId }: ReplyRef,
    signal: AbortSignal,
  ): Promise<{ message: Message; settled: boolean }> {
    const bell = createBell(signal);
    const unsubscribe = channel.subscribe(sessionId, bell.ring);
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
