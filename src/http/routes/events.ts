// The session's log, in pages or as a stream: from the start, or after a seq that the reader has.
import { z } from 'zod';
import { pageOf } from '../../contracts/common.ts';
import { ApiError } from '../../contracts/errors.ts';
import { eventBodyNamed } from '../../contracts/event-body.ts';
import { EVENT_TYPES, Event, type SessionEvent } from '../../contracts/events.ts';
import type { Position } from '../../services/ports.ts';
import { defineRoute, json, logStream, type Route } from '../define-route.ts';
import { commaList, namesParameter, pageParameters, SEQ, seqParameter } from '../query-types.ts';
import type { RouteDeps } from './deps.ts';

const ListEventsQuery = z.strictObject({
  ...pageParameters,
  // The log is read forwards only: a reader that goes back has already seen it.
  order: z.literal('asc').optional(),
  after: seqParameter.optional(),
  types: commaList(EVENT_TYPES).optional(),
  message_id: z.string().min(1).max(100).optional(),
  names: namesParameter('log'),
});

function refuseBoth(after: number | undefined, cursor: string | undefined): void {
  if (after === undefined || cursor === undefined) return;
  const message = "The 'after' parameter can't be combined with 'cursor'";
  throw new ApiError('invalid_request', message, { param: 'after' });
}

/** Where a page begins: behind the last seq of the one before, or where its reader has got to. */
const pageAfter = (position: Position | null, from: number | null): number =>
  Number(position?.[0] ?? from ?? 0);

/** A browser comes back with the URL of its first try, so where it has got to goes before `after`. */
function resumeAfter(lastEventId: string | null, after: number | undefined): number | null {
  if (lastEventId === null || lastEventId === '') return after ?? null;
  if (SEQ.test(lastEventId)) return Number(lastEventId);
  throw new ApiError('invalid_request', "The 'Last-Event-ID' header must be the seq of an event", {
    param: 'Last-Event-ID',
  });
}

function refuseCursor(cursor: string | undefined): void {
  if (cursor === undefined) return;
  const message = "The 'cursor' parameter is for pages: a stream goes on by 'after' or 'Last-Event-ID'";
  throw new ApiError('invalid_request', message, { param: 'cursor' });
}

const nextOf = (data: readonly SessionEvent[], hasMore: boolean): Position | null => {
  const last = data.at(-1);
  return hasMore && last ? [last.seq] : null;
};

const listEvents = ({ services: { events }, openPage }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/sessions/:sessionId/events',
    level: 'read-only',
    clientScope: 'read',
    operationId: 'listEvents',
    summary: "List a session's events, oldest first",
    description:
      'A page as JSON; with `Accept: text/event-stream` the events after `after` or `Last-Event-ID` (without ' +
      'either: from now on), and then each new one as it is appended. First on a stream is `stream.opened` with ' +
      '`tail_seq`: who has that event has caught up. `limit` and `cursor` are for pages.',
    tag: 'Events',
    streams: true,
    resumes: true,
    query: ListEventsQuery,
    response: pageOf(Event),
    status: 200,
    errors: ['not_found'],
    async handler({ caller, params, path, wantsStream, lastEventId, signal, query: { after, ...query } }) {
      const filter = { types: query.types ?? null, messageId: query.message_id ?? null };
      const from = resumeAfter(lastEventId, after);
      if (wantsStream) {
        refuseCursor(query.cursor);
        const wanted = { after: from, ...filter };
        const { tailSeq, events: followed } = await events.follow(caller, params.sessionId, wanted, signal);
        return logStream(followed, { tailSeq, names: query.names });
      }
      refuseBoth(after, query.cursor);
      const page = openPage({ caller, path, query }, 'asc');
      const { data, hasMore } = await events.page(caller, params.sessionId, {
        after: pageAfter(page.request.after, from),
        limit: page.request.limit,
        ...filter,
      });
      const slice = {
        data: data.map((event) => Event.parse(eventBodyNamed(event, query.names))),
        next: nextOf(data, hasMore),
      };
      return json(page.answer(slice));
    },
  });

export const eventRoutes = (deps: RouteDeps): Route[] => [listEvents(deps)];
