// Requests that want another protocol: Node takes their connection out of HTTP, so they are answered from here. A wish for a
// WebSocket goes through the application as any request does; every other wish is left aside, as HTTP allows.
import { type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { answerOn } from './socket-errors.ts';

/** For a refusal to be taken, or the handshake to be made; Node's own limits no longer hold for this connection. */
const IDLE_MS_MAX = 30_000;

export const wantsWebSocket = ({ method, headers }: IncomingMessage): boolean =>
  method === 'GET' &&
  headers.upgrade?.toLowerCase() === 'websocket' &&
  /(^|,)\s*upgrade\s*(,|$)/i.test(headers.connection ?? '');

export function serveUpgrades(server: Server): void {
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    // Node listens no longer, and an error that nobody hears ends the process.
    socket.on('error', () => socket.destroy());
    // Behind a request that is still being answered: two answers would run into each other.
    if (answerOn(socket)) socket.destroy();
    else if (wantsWebSocket(req)) answer(server, req, socket, head);
    else continueWithout(server, req, socket, head);
  });
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
