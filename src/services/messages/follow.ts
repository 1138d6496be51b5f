// Follows a reply for clients that read the reply while it is written.
import { FINAL_EVENTS, type SessionEvent } from '../../contracts/events.ts';
import { isTerminal } from '../../contracts/messages.ts';
import type { EventFeed } from '../../events/event-feed.ts';
import type { AcceptedMessage } from '../ports.ts';
import type { MessageReader } from './reader.ts';

export interface FollowDeps {
  reader: MessageReader;
  feed: EventFeed;
}

export const createFollow = ({ reader, feed }: FollowDeps) =>
  async function* followReply(
    { sessionId, replyId, afterSeq }: AcceptedMessage,
    signal: AbortSignal,
  ): AsyncGenerator<SessionEvent> {
    const isOver = async () => {
      const row = await reader.get(replyId);
      return !row || isTerminal(row.status);
    };
    const query = { sessionId, after: afterSeq, messageId: replyId, signal, isOver };
    for await (const event of feed.follow(query)) {
      yield event;
      if (FINAL_EVENTS.includes(event.type)) return;
    }
  };
