// Pages of a session's log.
import { notFound } from '../contracts/errors.ts';
import type { SessionLog } from '../stores/log.ts';
import type { SessionsStore } from '../stores/sessions.ts';
import type { EventsService } from './ports.ts';

export function createEvents({ log, sessions }: { log: SessionLog; sessions: SessionsStore }): EventsService {
  return {
    async page(caller, sessionId, query) {
      if (!(await sessions.get(caller.accountId, sessionId))) throw notFound('session');
      const events = await log.read({ sessionId, ...query, limit: query.limit + 1 });
      return { data: events.slice(0, query.limit), hasMore: events.length > query.limit };
    },
  };
}
