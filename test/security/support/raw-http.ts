// HTTP as bytes on a socket: what no client library would send, and all that comes back.
import { connect, type Socket } from 'node:net';
import { tcpSockets } from '../../support/tcp-table.ts';

/** Sends the bytes and reads until the server closes, or until `isEnough`. */
export function exchange(
  port: number,
  bytes: string | Buffer,
  isEnough: (received: string) => boolean = () => false,
): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      received += chunk;
      if (isEnough(received)) socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // Whoever is refused while still sending is reset; what came before counts.
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
    socket.on('close', () => resolve(received));
  });
}

export interface HeldSocket {
  kind: string;
  socket: Socket;
  openedAt: number;
  closedAt: number | null;
}

/**
 * Tells whether the server still has its end of a socket, as the system's table says at this moment. A client that reads nothing is
 * not told: the end of the stream waits behind all that it has not read.
 */
export function lookAtServerEnds(): (held: HeldSocket) => boolean {
  const open = tcpSockets().filter(({ state }) => state === 'established');
  const established = new Set(open.map(({ localPort, remotePort }) => `${localPort}:${remotePort}`));
  return ({ socket }) => established.has(`${socket.remotePort}:${socket.localPort}`);
}

/** A socket that is held open, and knows when the server has let it go. */
export function hold(port: number, kind: string, open: (socket: Socket) => void): Promise<HeldSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const held: HeldSocket = { kind, socket, openedAt: Date.now(), closedAt: null };
    const closed = () => {
      held.closedAt ??= Date.now();
    };
    socket.on('close', closed).on('end', closed);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject).on('error', closed);
      held.openedAt = Date.now();
      open(socket);
      resolve(held);
    });
  });
}

export const statusesIn = (received: string): number[] =>
  [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

/** The body of the last answer. */
export const bodyIn = (received: string): any =>
  JSON.parse(received.slice(received.lastIndexOf('\r\n\r\n') + 4));
