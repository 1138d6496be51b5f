// A session's log: read in pages, or followed.
import { ApiError } from '../contracts/errors.ts';
import type { SessionEvent } from '../contracts/events.ts';
import type { EventFeed, FollowQuery } from '../events/event-feed.ts';
import type { SessionLog } from '../stores/log.ts';
import type { SessionsStore } from '../stores/sessions.ts';
import type { EventFilter, EventsService } from './ports.ts';
import { visibleSession } from './session-access.ts';

export interface EventsDeps {
  log: SessionLog;
  sessions: SessionsStore;
  feed: EventFeed;
}

export function createEvents({ log, sessions, feed }: EventsDeps): EventsService {
  /** Filters here because a filter in the store would scan the skipped events again at each read. */
  async function* matching(
    { types, messageId }: EventFilter,
    query: FollowQuery,
  ): AsyncGenerator<SessionEvent> {
    for await (const event of feed.follow(query)) {
      if (types && !types.includes(event.type)) continue;
      if (messageId === null || event.message_id === messageId) yield event;
    }
  }

  return {
    async page(caller, sessionId, query) {
      await visibleSession(sessions, caller, sessionId);
      return log.page({ sessionId, ...query });
    },

    async follow(caller, sessionId, { after, sentAs = 'after', ...filter }, signal) {
      const tailSeq = Number((await visibleSession(sessions, caller, sessionId)).seq);
      if (after !== null && after > tailSeq) throw aheadOf(tailSeq, sentAs);
      const isOver = async () => (await sessions.get(caller.accountId, sessionId)) === undefined;
      const query = { sessionId, after: after ?? tailSeq, signal, isOver };
      return { tailSeq, events: matching(filter, query) };
    },
  };
}

/** The client's cursor belongs to another log. Following would wait forever, or skip events before the cursor. */
const aheadOf = (tailSeq: number, param: string) =>
  new ApiError(
    'invalid_request',
    `The session's last event is ${tailSeq}: '${param}' can't be more than that`,
    { param },
  );
