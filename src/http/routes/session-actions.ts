// Actions on a whole session, and the answer to "why has my agent not answered?".
import { Interrupted, Session, SessionState } from '../../contracts/sessions.ts';
import { defineRoute, json, type Route } from '../define-route.ts';
import { written } from '../idempotency.ts';
import type { RouteDeps } from './deps.ts';

const tag = 'Sessions';

const completeSession = ({ services }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/sessions/:sessionId/complete',
    level: 'standard',
    operationId: 'completeSession',
    summary: 'End a session as completed; again changes nothing',
    tag,
    response: Session,
    status: 200,
    errors: ['not_found', 'unavailable'],
    handler: async ({ caller, params, idempotency }) =>
      written(await services.sessions.complete(caller, params.sessionId, idempotency)),
  });

const archiveSession = ({ services }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/sessions/:sessionId/archive',
    level: 'standard',
    operationId: 'archiveSession',
    summary: 'End a session and put it away; again changes nothing',
    tag,
    response: Session,
    status: 200,
    errors: ['not_found', 'unavailable'],
    handler: async ({ caller, params, idempotency }) =>
      written(await services.sessions.archive(caller, params.sessionId, idempotency)),
  });

const interruptSession = ({ services }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/sessions/:sessionId/interrupt',
    level: 'standard',
    clientScope: 'send',
    operationId: 'interruptSession',
    summary: 'Stop the running turn, if any',
    tag,
    response: Interrupted,
    status: 200,
    errors: ['not_found', 'session_ended', 'unavailable'],
    handler: async ({ caller, params, idempotency }) =>
      written(await services.sessions.interrupt(caller, params.sessionId, idempotency)),
  });

const getSessionState = ({ services }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/sessions/:sessionId/state',
    level: 'read-only',
    clientScope: 'read',
    operationId: 'getSessionState',
    summary: 'What the session is doing or waiting for right now',
    tag,
    response: SessionState,
    status: 200,
    errors: ['not_found'],
    handler: async ({ caller, params }) => json(await services.sessions.state(caller, params.sessionId)),
  });

export const sessionActionRoutes = (deps: RouteDeps): Route[] => [
  completeSession(deps),
  archiveSession(deps),
  interruptSession(deps),
  getSessionState(deps),
];
