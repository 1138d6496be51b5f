// GET /v1/sessions/:sessionId/ws: runs the checks of every route, then turns the request into a WebSocket.
import type { RequestHandler } from 'express';
import { z } from 'zod';
import { ApiError } from '../../contracts/errors.ts';
import { SUBPROTOCOL } from '../../contracts/frames.ts';
import { requireGranted } from '../authenticate.ts';
import type { Access } from '../define-route.ts';
import { refuseForeign } from '../origins.ts';
import { readQuery } from '../query.ts';
import { namesParameter, seqParameter } from '../query-types.ts';
import { refuseExceeded } from '../rate-limit.ts';
import { stateOf } from '../request-state.ts';
import { callerOf, idsOf } from '../run-route.ts';
import { wantsWebSocket } from '../upgrade.ts';
import { parseInput, QUERY } from '../validation.ts';
import { type ConnectionDeps, serveConnection } from './connection.ts';
import { completeHandshake } from './handshake.ts';
import { followSession } from './subscriptions.ts';

export const SOCKET_PATH = '/v1/sessions/:sessionId/ws';

const ACCESS = { level: 'read-only', clientScope: 'read' } satisfies Access;

const SocketQuery = z.strictObject({
  after: seqParameter.optional(),
  names: namesParameter('stream'),
});

export function openSocket(deps: ConnectionDeps): RequestHandler {
  return async (req, res) => {
    const state = stateOf(res);
    state.route = SOCKET_PATH;
    if (state.rate) refuseExceeded(state.rate);
    const caller = callerOf(ACCESS, state);
    // Browsers let any page open a WebSocket to any server, so the server must refuse foreign pages.
    refuseForeign(state.page);
    const { after = null, names } = parseInput(SocketQuery, readQuery(req.url), QUERY);
    if (!wantsWebSocket(req)) throw noHandshake();
    requireProtocol(req.headers['sec-websocket-protocol']);
    const { sessionId = '' } = idsOf(req);
    requireGranted(caller, sessionId);
    state.holdOpen();
    const first = await followSession(deps.services.events, caller, sessionId, after);
    const socket = completeHandshake(req, res);
    const { requestId, signal } = state;
    if (socket) await serveConnection(socket, deps, { caller, requestId, first, names, signal });
  };
}

/** Browsers silently drop a connection whose response chooses none of their offered protocols. */
function requireProtocol(offered: string | undefined): void {
  if (offered === undefined || offered.split(',').some((protocol) => protocol.trim() === SUBPROTOCOL)) return;
  throw new ApiError('invalid_request', `Offer the WebSocket protocol '${SUBPROTOCOL}' beside the others`, {
    param: 'Sec-WebSocket-Protocol',
  });
}

const noHandshake = () =>
  new ApiError(
    'invalid_request',
    "This address is for WebSockets: the 'Upgrade: websocket' header is required",
    {
      param: 'Upgrade',
    },
  );
