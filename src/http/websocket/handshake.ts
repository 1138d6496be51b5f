// Turns an accepted HTTP request into a WebSocket.
import type { Request, Response } from 'express';
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws';
import { ApiError } from '../../contracts/errors.ts';
import { FRAME_BYTES_MAX, SUBPROTOCOL } from '../../contracts/frames.ts';

/** Time for a client to read up to a close and answer it. After this time the connection is cut. */
const CLOSE_MS_MAX = 10_000;

/** Headers of every response that the handshake's response has as well. */
const HEADERS_PASSED_ON = /^(request-id|x-ratelimit-.*)$/;

const sockets = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  maxPayload: FRAME_BYTES_MAX,
  closeTimeout: CLOSE_MS_MAX,
  handleProtocols: (offered) => offered.has(SUBPROTOCOL) && SUBPROTOCOL,
} as ServerOptions);

// The library would answer in its own format. Throwing here gives the usual error response.
sockets.on('wsClientError', ({ message }) => {
  throw new ApiError('invalid_request', `The WebSocket handshake is not valid: ${message}`);
});

sockets.on('headers', (headers, req) => {
  const passedOn = Object.entries((req as Request).res?.getHeaders() ?? {});
  for (const [name, value] of passedOn)
    if (HEADERS_PASSED_ON.test(name)) headers.push(`${name}: ${String(value)}`);
});

/** @returns undefined when the client has disconnected. @throws ApiError `invalid_request` */
export function completeHandshake(req: Request, res: Response): WebSocket | undefined {
  let opened: WebSocket | undefined;
  sockets.handleUpgrade(req, req.socket, Buffer.alloc(0), (socket) => {
    opened = socket;
  });
  if (!opened) return undefined;
  res.detachSocket(req.socket);
  // For the access log, whose line is written when the connection ends.
  res.statusCode = 101;
  opened.once('close', () => res.emit('close'));
  return opened;
}
