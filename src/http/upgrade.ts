// Requests that want another protocol: Node takes their connection out of HTTP, so they are answered from here. A wish for a
// WebSocket goes through the application as any request does; every other wish is left aside, as HTTP allows.
import { type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { answerOn, refuseConnect } from './socket-errors.ts';

/** For a refusal to be taken, or the handshake to be made; Node's own limits no longer hold for this connection. */
const IDLE_MS_MAX = 30_000;

export const wantsWebSocket = ({ method, headers }: IncomingMessage): boolean =>
  method === 'GET' &&
  headers.upgrade?.toLowerCase() === 'websocket' &&
  /(^|,)\s*upgrade\s*(,|$)/i.test(headers.connection ?? '');

export function serveUpgrades(server: Server): void {
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    listenForErrors(socket);
    if (!wantsWebSocket(req)) inTurn(socket, () => continueWithout(server, req, socket, head));
    // Behind a request that is still being answered: no client opens a WebSocket that way.
    else if (answerOn(socket)) socket.destroy();
    else answer(server, req, socket, head);
  });
  server.on('connect', (_req: IncomingMessage, socket: Socket) => {
    listenForErrors(socket);
    socket.setTimeout(IDLE_MS_MAX, () => socket.destroy());
    // What the client sends into its tunnel is read and dropped, so that its end is noticed.
    socket.resume();
    inTurn(socket, () => refuseConnect(socket));
  });
}

/** Node listens no longer, and an error that nobody hears ends the process. A connection that is put back comes here again. */
function listenForErrors(socket: Socket): void {
  if (!socket.listeners('error').includes(destroyOnError)) socket.on('error', destroyOnError);
}

function destroyOnError(this: Socket): void {
  this.destroy();
}

/** Waits for the answers to earlier requests of the connection: two answers would run into each other. */
function inTurn(socket: Socket, act: () => void): void {
  const earlier = answerOn(socket);
  if (earlier) earlier.once('close', () => inTurn(socket, act));
  else if (!socket.destroyed) act();
}

/** An answer over this connection is its last, unless the connection becomes a WebSocket. */
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

/** Puts the connection back with the same request, less its wish: what came behind it is read again, too. */
function continueWithout(server: Server, req: IncomingMessage, socket: Socket, head: Buffer): void {
  const lines = [`${req.method} ${req.url} HTTP/${req.httpVersion}`];
  for (let index = 0; index < req.rawHeaders.length; index += 2) {
    const [name = '', value] = req.rawHeaders.slice(index, index + 2);
    if (!UPGRADE_HEADERS.includes(name.toLowerCase())) lines.push(`${name}: ${value}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}
