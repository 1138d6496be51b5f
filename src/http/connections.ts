// Tracks every connection: limits their number, closes some to make room, and releases all when the server stops.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Capacity } from './capacity.ts';
import { networkOf } from './client-network.ts';
import { createRoomMaker, FRESH_MS, type Held } from './room-maker.ts';

/** Connections above the capacity stay open just long enough for a 503. Beyond this number they are closed without a response. */
const REFUSED_MAX = 32;
const REFUSED_MS_MAX = 5_000;

export interface Connections {
  /** True if all other connections were in use when this connection came. */
  isAboveCapacity(socket: Socket): boolean;
  /** Closes idle connections now, and each other connection after its response. */
  release(): void;
  /** Closes all remaining connections. */
  destroy(): void;
}

/** Sockets without a request in progress, the longest idle first. */
function createIdleSockets() {
  /** The time at which each socket became idle. */
  const all = new Map<Socket, number>();
  const byNetwork = new Map<string, Set<Socket>>();
  // A closed socket no longer has its address.
  const networks = new WeakMap<Socket, string>();
  const networkAt = (socket: Socket): string => networks.get(socket) ?? networkOf(socket.remoteAddress);
  return {
    networkAt,
    add(socket: Socket): void {
      const network = networkAt(socket);
      networks.set(socket, network);
      all.set(socket, performance.now());
      byNetwork.set(network, (byNetwork.get(network) ?? new Set()).add(socket));
    },
    delete(socket: Socket): void {
      const network = networks.get(socket) ?? '';
      all.delete(socket);
      const here = byNetwork.get(network);
      if (here?.delete(socket) && here.size === 0) byNetwork.delete(network);
    },
    sinceWhen: (socket: Socket): number | undefined => all.get(socket),
    /**
     * The network's oldest idle socket, if the network has more than `idleMax`. Below capacity a burst of new sockets is
     * allowed.
     */
    surplusBeside(socket: Socket, idleMax: number, isFull: boolean): Socket | undefined {
      const beside = byNetwork.get(networkAt(socket)) ?? new Set();
      const [oldest] = beside;
      if (!oldest || beside.size <= idleMax) return undefined;
      const isFresh = performance.now() - (all.get(oldest) ?? 0) < FRESH_MS;
      return isFull || !isFresh ? oldest : undefined;
    },
  };
}

/** Requests in flight on a socket. A client may pipeline several, and the server answers the first. */
interface Busy {
  since: number;
  calls: Set<ServerResponse>;
}

/** True for an incomplete request, and for a response the client doesn't read. */
const waitsForClient = (res: ServerResponse): boolean =>
  !res.req.complete || (res.writableEnded && !res.writableFinished);

/** Bounds unread responses, because they stay in memory. */
function cutOffUnread(res: ServerResponse, unreadMsMax: number): void {
  // The response is complete, and first on this connection.
  res.once('prefinish', () => {
    // Node restarts the timer whenever the client has read part of the response.
    if (!res.writableFinished) res.setTimeout(unreadMsMax, () => res.destroy());
  });
  // Runs before Node's own listener, which sets the timeout of an idle connection.
  res.prependOnceListener('finish', () => res.socket?.setTimeout(0));
}

export interface ConnectionBounds extends Pick<Capacity, 'connections' | 'idlePerNetwork'> {
  /** Time for a client to read some of a response. The connection is closed after one to two times as long. */
  unreadMsMax: number;
  /** A trusted proxy connects for many clients, so its idle connections aren't limited. */
  isProxy(address: string): boolean;
  /** The client's own address, also behind a trusted proxy. */
  clientOf(req: IncomingMessage): string | undefined;
}

/**
 * Node's own `closeIdleConnections` leaves connections open that never sent a request. Clients keep such connections in stock.
 */
export function trackConnections(server: Server, bounds: ConnectionBounds): Connections {
  const { connections, idlePerNetwork } = bounds;
  const open = new Set<Socket>();
  const busy = new Map<Socket, Busy>();
  const refused = new Set<Socket>();
  const idle = createIdleSockets();
  const nextToClose = createRoomMaker(open, { perNetwork: idlePerNetwork, heldOf });
  let isReleasing = false;

  const isProxy = ({ remoteAddress = '' }: Socket): boolean => bounds.isProxy(remoteAddress);
  const admitted = () => open.size - refused.size;

  /** Undefined for streams, waiting calls and requests in progress, because the server holds these itself. */
  function heldOf(socket: Socket): Held | undefined {
    if (!open.has(socket) || refused.has(socket)) return undefined;
    const { since, calls } = busy.get(socket) ?? { since: idle.sinceWhen(socket), calls: [] };
    const [first] = calls;
    if (since === undefined || (first && !waitsForClient(first))) return undefined;
    const network = first ? networkOf(bounds.clientOf(first.req)) : idle.networkAt(socket);
    return { socket, since, network, isProxy: isProxy(socket) };
  }

  function forget(socket: Socket): void {
    for (const sockets of [open, refused, idle, busy]) sockets.delete(socket);
  }

  /** Destroys immediately: a peer that reads nothing would keep the descriptor through a graceful close. */
  function evict(socket: Socket | undefined): void {
    if (!socket) return;
    forget(socket);
    socket.destroy();
  }

  function refuse(socket: Socket): void {
    if (refused.size >= REFUSED_MAX) return void evict(socket);
    idle.delete(socket);
    refused.add(socket);
    const cutOff = setTimeout(() => evict(socket), REFUSED_MS_MAX);
    socket.once('close', () => clearTimeout(cutOff));
  }

  function admit(socket: Socket): void {
    // `upgrade.ts` puts a connection back when it ignores an upgrade request.
    if (open.has(socket)) return;
    open.add(socket);
    socket.once('close', () => forget(socket));
    idle.add(socket);
    if (admitted() > connections / 2 && !isProxy(socket))
      evict(idle.surplusBeside(socket, idlePerNetwork, admitted() > connections));
    if (admitted() > connections) evict(nextToClose());
    if (admitted() > connections) refuse(socket);
  }

  function begin(socket: Socket, res: ServerResponse): void {
    const { since, calls } = busy.get(socket) ?? { since: performance.now(), calls: new Set() };
    busy.set(socket, { since, calls: calls.add(res) });
    idle.delete(socket);
    cutOffUnread(res, bounds.unreadMsMax);
    res.once('close', () => {
      calls.delete(res);
      if (calls.size > 0) return;
      busy.delete(socket);
      if (isReleasing) socket.destroySoon();
      else if (open.has(socket) && !refused.has(socket)) idle.add(socket);
    });
  }

  server.on('connection', admit);
  // Runs first, because some responses finish before the application's own listener returns.
  server.prependListener('request', ({ socket }, res) => begin(socket, res));
  return {
    isAboveCapacity: (socket) => refused.has(socket),
    release() {
      isReleasing = true;
      for (const socket of open) if (!busy.has(socket)) socket.destroySoon();
    },
    destroy() {
      for (const socket of open) socket.destroy();
    },
  };
}
