// Answers requests for another protocol, because Node takes their connection out of HTTP. WebSocket requests go through the
// application like any request. All other upgrades are ignored, as HTTP allows.
import { type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { answerOn, refuseConnect } from './socket-errors.ts';

/** Time for a client to read a refusal or complete the handshake. Node's own limits no longer apply to this connection. */
const IDLE_MS_MAX = 30_000;

export const wantsWebSocket = ({ method, headers }: IncomingMessage): boolean =>
  method === 'GET' &&
  headers.upgrade?.toLowerCase() === 'websocket' &&
  /(^|,)\s*upgrade\s*(,|$)/i.test(headers.connection ?? '');

export function serveUpgrades(server: Server): void {
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    listenForErrors(socket);
    if (!wantsWebSocket(req)) inTurn(socket, () => continueWithout(server, req, socket, head));
    // No client opens a WebSocket behind a request in progress.
    else if (answerOn(socket)) socket.destroy();
    else answer(server, req, socket, head);
  });
  server.on('connect', (_req: IncomingMessage, socket: Socket) => {
    listenForErrors(socket);
    socket.setTimeout(IDLE_MS_MAX, () => socket.destroy());
    // Reads and drops the client's tunnel data, so that the end of the connection is noticed.
    socket.resume();
    inTurn(socket, () => refuseConnect(socket));
  });
}

/** Node has removed its listener, and an unhandled error would end the process. A connection put back comes here again. */
function listenForErrors(socket: Socket): void {
  if (!socket.listeners('error').includes(destroyOnError)) socket.on('error', destroyOnError);
}

function destroyOnError(this: Socket): void {
  this.destroy();
}

/** Waits for the responses to earlier requests of the connection, because two responses would mix. */
function inTurn(socket: Socket, act: () => void): void {
  const earlier = answerOn(socket);
  if (earlier) earlier.once('close', () => inTurn(socket, act));
  else if (!socket.destroyed) act();
}

/** The response is the last on this connection, unless the connection becomes a WebSocket. */
function answer(server: Server, req: IncomingMessage, socket: Socket, head: Buffer): void {
  if (head.length > 0) socket.unshift(head);
  socket.setTimeout(IDLE_MS_MAX, () => socket.destroy());
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  res.once('finish', () => socket.destroySoon());
  server.emit('request', req, res);
}

const UPGRADE_HEADERS = ['upgrade', 'http2-settings'];

/** Puts the connection back with the same request, minus its upgrade headers. Bytes after the request are also read again. */
function continueWithout(server: Server, req: IncomingMessage, socket: Socket, head: Buffer): void {
  const lines = [`${req.method} ${req.url} HTTP/${req.httpVersion}`];
  for (let index = 0; index < req.rawHeaders.length; index += 2) {
    const [name = '', value] = req.rawHeaders.slice(index, index + 2);
    if (!UPGRADE_HEADERS.includes(name.toLowerCase())) lines.push(`${name}: ${value}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}
