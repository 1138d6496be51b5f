// Sessions: create, list, read, change, delete.
import { z } from 'zod';
import { Deleted, METADATA_KEYS_MAX, MetadataKey, MetadataValue, pageOf } from '../../contracts/common.ts';
import {
  CreateSession,
  SESSION_STATUSES,
  Session,
  SessionSummary,
  UpdateSession,
} from '../../contracts/sessions.ts';
import type { SessionFilter } from '../../services/ports.ts';
import { defineRoute, json, type Route } from '../define-route.ts';
import { CREATE_SESSION, SESSION } from '../examples.ts';
import { written } from '../idempotency.ts';
import { commaList, pageParameters, timeParameter } from '../query-types.ts';
import type { RouteDeps } from './deps.ts';

const tag = 'Sessions';

const metadataFilter = z
  .record(MetadataKey, MetadataValue, {
    error: (issue) => (issue.code === 'invalid_type' ? 'must be given as metadata[key]=value' : undefined),
  })
  .refine((value) => Object.keys(value).length <= METADATA_KEYS_MAX, {
    message: `must have at most ${METADATA_KEYS_MAX} keys`,
  });

const ListSessionsQuery = z.strictObject({
  ...pageParameters,
  status: commaList(SESSION_STATUSES).optional(),
  model: z.string().min(1).max(200).optional(),
  created_after: timeParameter.optional(),
  created_before: timeParameter.optional(),
  metadata: metadataFilter.optional().meta({
    description:
      'Exact values, as `metadata[key]=value`; several are combined with AND. curl takes brackets for a range of ' +
      'addresses: write `metadata%5Bkey%5D=value`, or give it `-g`',
    param: { style: 'deepObject', explode: true },
  }),
});

const GetSessionQuery = z.strictObject({
  include: z.literal('state').optional().meta({ description: "Adds `state`, the workflow's own answer" }),
});

type ListSessionsQuery = z.output<typeof ListSessionsQuery>;
type ListFilters = Omit<ListSessionsQuery, keyof typeof pageParameters>;

/** The filter of each parameter. A missing parameter doesn't compile. */
const FILTERS: {
  [Name in keyof ListFilters]-?: (value: NonNullable<ListFilters[Name]>) => Partial<SessionFilter>;
} = {
  status: (status) => ({ status }),
  model: (model) => ({ model }),
  created_after: (createdAfterMs) => ({ createdAfterMs }),
  created_before: (createdBeforeMs) => ({ createdBeforeMs }),
  metadata: (metadata) => ({ metadata }),
};

function filterOf(query: ListSessionsQuery): SessionFilter {
  const given = (Object.keys(FILTERS) as (keyof ListFilters)[]).filter((name) => query[name] !== undefined);
  return Object.assign({ metadata: {} }, ...given.map((name) => FILTERS[name](query[name] as never)));
}

const createSession = ({ services }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/sessions',
    level: 'standard',
    operationId: 'createSession',
    summary: 'Create a session',
    tag,
    body: CreateSession,
    response: Session,
    status: 201,
    errors: ['not_found', 'unavailable'],
    examples: { request: CREATE_SESSION, response: SESSION },
    async handler({ caller, body, idempotency }) {
      const session = await services.sessions.create(caller, body, idempotency);
      return written(session, { Location: `/v1/sessions/${session.value.id}` });
    },
  });

const listSessions = ({ services, openPage }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/sessions',
    level: 'read-only',
    operationId: 'listSessions',
    summary: 'List sessions, newest first',
    description:
      'A page looks at a bounded number of sessions and holds at most 4 MiB. With a filter that few of very many sessions ' +
      'match, a page may have fewer entries than `limit`, even none, while `has_more` is true: go on with `next_cursor`.',
    tag,
    query: ListSessionsQuery,
    response: pageOf(SessionSummary),
    status: 200,
    errors: [],
    async handler(call) {
      const page = openPage(call, 'desc');
      return json(page.answer(await services.sessions.list(call.caller, filterOf(call.query), page.request)));
    },
  });

const getSession = ({ services }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/sessions/:sessionId',
    level: 'read-only',
    clientScope: 'read',
    operationId: 'getSession',
    summary: 'Read a session with its newest 100 messages',
    tag,
    query: GetSessionQuery,
    response: Session,
    status: 200,
    errors: ['not_found'],
    etag: true,
    examples: { response: SESSION },
    async handler({ caller, params, query }) {
      const includeState = query.include === 'state';
      const session = await services.sessions.get(caller, params.sessionId, { includeState });
      // Holders of a client token must not see the operator's instructions.
      return json(caller.grant ? { ...session, system_prompt: null } : session);
    },
  });

const updateSession = ({ services }: RouteDeps) =>
  defineRoute({
    method: 'patch',
    path: '/v1/sessions/:sessionId',
    level: 'standard',
    operationId: 'updateSession',
    summary: 'Change a session from its next turn on',
    tag,
    body: UpdateSession,
    response: Session,
    status: 200,
    errors: ['not_found', 'session_ended', 'unavailable'],
    handler: async ({ caller, params, body, idempotency }) =>
      written(await services.sessions.update(caller, params.sessionId, body, idempotency)),
  });

const deleteSession = ({ services }: RouteDeps) =>
  defineRoute({
    method: 'delete',
    path: '/v1/sessions/:sessionId',
    level: 'standard',
    operationId: 'deleteSession',
    summary: 'End a session and remove its contents',
    tag,
    response: Deleted,
    status: 200,
    errors: ['not_found', 'unavailable'],
    handler: async ({ caller, params, idempotency }) =>
      written(await services.sessions.delete(caller, params.sessionId, idempotency)),
  });

export const sessionRoutes = (deps: RouteDeps): Route[] => [
  createSession(deps),
  listSessions(deps),
  getSession(deps),
  updateSession(deps),
  deleteSession(deps),
];
