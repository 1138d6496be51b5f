// Pages of a session's log.
import type { SessionLog } from '../stores/log.ts';
import type { SessionsStore } from '../stores/sessions.ts';
import type { EventsService } from './ports.ts';
import { visibleSession } from './session-access.ts';

export function createEvents({ log, sessions }: { log: SessionLog; sessions: SessionsStore }): EventsService {
  return {
    async page(caller, sessionId, query) {
      await visibleSession(sessions, caller, sessionId);
      const events = await log.read({ sessionId, ...query, limit: query.limit + 1 });
      return { data: events.slice(0, query.limit), hasMore: events.length > query.limit };
    },
  };
}
