// The session log, in pages or as a stream: from the start, or after a given seq.
import { z } from 'zod';
import { type PageQuery, pageOf } from '../../contracts/common.ts';
import { ApiError } from '../../contracts/errors.ts';
import { type EventBody, eventBody, eventBodyNamed } from '../../contracts/event-body.ts';
import { EVENT_TYPES, Event, type EventNames, type SessionEvent } from '../../contracts/events.ts';
import type { LogPage, PageRequest, Position } from '../../services/ports.ts';
import { defineRoute, json, logStream, type Route } from '../define-route.ts';
import { commaList, namesParameter, pageParameters, SEQ, seqParameter } from '../query-types.ts';
import type { RouteDeps } from './deps.ts';

const ListEventsQuery = z.strictObject({
  ...pageParameters,
  after: seqParameter.optional(),
  types: commaList(EVENT_TYPES).optional(),
  message_id: z.string().min(1).max(100).optional(),
  names: namesParameter('log'),
});

type Bounds = Pick<LogPage, 'after' | 'before'>;

/** The bounds of a page: only events after the client's position, and none of an earlier page. */
function boundsOf({ order, after: position }: PageRequest, from: number | null): Bounds {
  const [last, firstFrom] = position ?? [];
  const after = Math.max(Number(firstFrom ?? 0), from ?? 0);
  if (last === undefined) return { after };
  return order === 'asc' ? { after: Math.max(after, Number(last)) } : { after, before: Number(last) };
}

interface Resumed {
  after: number | null;
  sentAs: 'after' | 'Last-Event-ID';
}

/** A browser reconnects with the URL of its first attempt, so `Last-Event-ID` takes precedence over `after`. */
function resumeAfter(lastEventId: string | null, after: number | undefined): Resumed {
  if (lastEventId === null || lastEventId === '') return { after: after ?? null, sentAs: 'after' };
  if (SEQ.test(lastEventId)) return { after: Number(lastEventId), sentAs: 'Last-Event-ID' };
  throw new ApiError('invalid_request', "The 'Last-Event-ID' header must be the seq of an event", {
    param: 'Last-Event-ID',
  });
}

function refusePaging({ cursor, order }: PageQuery): void {
  const refuse = (param: string, why: string) =>
    new ApiError('invalid_request', `The '${param}' parameter is for pages: ${why}`, { param });
  if (cursor !== undefined) throw refuse('cursor', "a stream goes on by 'after' or 'Last-Event-ID'");
  if (order === 'desc') throw refuse('order', 'a stream tells what happens in its order');
}

const nextOf = (data: readonly SessionEvent[], hasMore: boolean, from: number): Position | null => {
  const last = data.at(-1);
  return hasMore && last ? [last.seq, from] : null;
};

/**
 * With log names a page shows events as stored, and as webhooks carry them. Only stream names add the extra fields of streams.
 */
const pageBody = (event: SessionEvent, names: EventNames): EventBody =>
  names === 'log' ? eventBody(event) : eventBodyNamed(event, names);

const listEvents = ({ services: { events }, openPage }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/sessions/:sessionId/events',
    level: 'read-only',
    clientScope: 'read',
    operationId: 'listEvents',
    summary: "List a session's events, oldest first unless asked otherwise",
    description:
      'A page as JSON; with `Accept: text/event-stream` the events after `after` or `Last-Event-ID` (without ' +
      'either: from now on), and then each new one as it is appended. First on a stream is `stream.opened` with ' +
      '`tail_seq`: who has that event has caught up. `limit`, `cursor` and `order` are for pages. A page of long ' +
      'events has fewer than `limit`: 4 MiB of them at most, or one.',
    tag: 'Events',
    streams: true,
    resumes: true,
    query: ListEventsQuery,
    response: pageOf(Event),
    status: 200,
    errors: ['not_found'],
    async handler({
      caller,
      params,
      path,
      wantsStream,
      lastEventId,
      signal,
      holdOpen,
      query: { after, ...query },
    }) {
      const filter = { types: query.types ?? null, messageId: query.message_id ?? null };
      const resumed = resumeAfter(lastEventId, after);
      if (wantsStream) {
        holdOpen();
        refusePaging(query);
        const wanted = { ...resumed, ...filter };
        const { tailSeq, events: followed } = await events.follow(caller, params.sessionId, wanted, signal);
        return logStream(followed, { tailSeq, names: query.names });
      }
      const page = openPage({ caller, path, query }, 'asc');
      const { order, limit } = page.request;
      const bounds = boundsOf(page.request, resumed.after);
      const { data, hasMore } = await events.page(caller, params.sessionId, {
        ...{ order, limit, ...bounds },
        ...filter,
      });
      const slice = {
        data: data.map((event) => Event.parse(pageBody(event, query.names))),
        next: nextOf(data, hasMore, bounds.after),
      };
      return json(page.answer(slice));
    },
  });

export const eventRoutes = (deps: RouteDeps): Route[] => [listEvents(deps)];
