// The session's log in pages: from the start, or after a seq that the reader has.
import { z } from 'zod';
import { pageOf } from '../../contracts/common.ts';
import { ApiError } from '../../contracts/errors.ts';
import { EVENT_TYPES, Event, type SessionEvent } from '../../contracts/events.ts';
import type { Position } from '../../services/ports.ts';
import { defineRoute, json, type Route } from '../define-route.ts';
import { commaList, documentedAsInteger, pageParameters } from '../query-types.ts';
import { eventBody } from '../streams/frame.ts';
import type { RouteDeps } from './deps.ts';

/** So many digits are exact in a double, and no log gets as long. */
const SEQ_DIGITS_MAX = 15;

const ListEventsQuery = z.strictObject({
  ...pageParameters,
  // The log is read forwards only: a reader that goes back has already seen it.
  order: z.literal('asc').optional(),
  after: z
    .string()
    .regex(new RegExp(`^\\d{1,${SEQ_DIGITS_MAX}}$`), 'must be the seq of an event, or 0 for the start')
    .transform(Number)
    .optional()
    .meta(documentedAsInteger({ minimum: 0, maximum: 10 ** SEQ_DIGITS_MAX - 1 })),
  types: commaList(EVENT_TYPES).optional(),
  message_id: z.string().min(1).max(100).optional(),
});

/** Where to go on: `after`, or the last seq of the page before. */
function afterOf(after: number | undefined, position: Position | null): number {
  if (position === null) return after ?? 0;
  if (after !== undefined)
    throw new ApiError('invalid_request', "The 'after' parameter can't be combined with 'cursor'", {
      param: 'after',
    });
  return Number(position[0]);
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
    tag: 'Events',
    query: ListEventsQuery,
    response: pageOf(Event),
    status: 200,
    errors: ['not_found'],
    async handler({ caller, params, path, query: { after, ...query } }) {
      const page = openPage({ caller, path, query }, 'asc');
      const { data, hasMore } = await events.page(caller, params.sessionId, {
        after: afterOf(after, page.request.after),
        limit: page.request.limit,
        types: query.types ?? null,
        messageId: query.message_id ?? null,
      });
      const slice = { data: data.map((event) => Event.parse(eventBody(event))), next: nextOf(data, hasMore) };
      return json(page.answer(slice));
    },
  });

export const eventRoutes = (deps: RouteDeps): Route[] => [listEvents(deps)];
