// Knows every connection: bounds their number, makes room by closing some, and lets go of them when the server stops.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Capacity } from './capacity.ts';
import { networkOf } from './client-network.ts';
import { createRoomMaker, FRESH_MS, type Held } from './room-maker.ts';

/** Connections above the capacity that live for as long as it takes to answer 503. More are cut off without an answer. */
const REFUSED_MAX = 32;
const REFUSED_MS_MAX = 5_000;

export interface Connections {
  /** Whether this connection came when all others were in use. */
  isAboveCapacity(socket: Socket): boolean;
  /** Closes what is idle now, and everything else as soon as its answer is out. */
  release(): void;
  /** Cuts off whatever is left. */
  destroy(): void;
}

/** Sockets on which no request is being answered, the one that is idle longest first. */
function createIdleSockets() {
  /** With the time at which each became idle. */
  const all = new Map<Socket, number>();
  const byNetwork = new Map<string, Set<Socket>>();
  // A closed socket forgets its address.
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
    /** The oldest of the same network, if that has more than so many. While there is room, a burst of new ones is not too many. */
    surplusBeside(socket: Socket, idleMax: number, isFull: boolean): Socket | undefined {
      const beside = byNetwork.get(networkAt(socket)) ?? new Set();
      const [oldest] = beside;
      if (!oldest || beside.size <= idleMax) return undefined;
      const isFresh = performance.now() - (all.get(oldest) ?? 0) < FRESH_MS;
      return isFull || !isFresh ? oldest : undefined;
    },
  };
}

/** The requests in flight on a socket. A client may pipeline some: the first one is being answered. */
interface Busy {
  since: number;
  calls: Set<ServerResponse>;
}

/** A request that has not arrived whole, or an answer that the client does not take. */
const waitsForClient = (res: ServerResponse): boolean =>
  !res.req.complete || (res.writableEnded && !res.writableFinished);

/** What a client does not read stays in memory. */
function cutOffUnread(res: ServerResponse, unreadMsMax: number): void {
  // The answer is complete, and on this connection it is the first.
  res.once('prefinish', () => {
    // Node starts the time anew when the client has taken some of the answer.
    if (!res.writableFinished) res.setTimeout(unreadMsMax, () => res.destroy());
  });
  // Before Node's own listener, which sets the time for an idle connection.
  res.prependOnceListener('finish', () => res.socket?.setTimeout(0));
}

export interface ConnectionBounds extends Pick<Capacity, 'connections' | 'idlePerNetwork'> {
  /** For a client to take something of an answer. The cut comes after one to two times as long. */
  unreadMsMax: number;
  /** A trusted proxy connects for many clients, so it may keep any number of idle connections. */
  isProxy(address: string): boolean;
  /** The client's own address, also behind a trusted proxy. */
  clientOf(req: IncomingMessage): string | undefined;
}

/** Node's own `closeIdleConnections` leaves a connection open that never sent a request: clients keep such in stock. */
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

  /** Streams, waiting calls and whatever the server itself still works on are not held by their clients. */
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

  /** Destroys right away: a peer that reads nothing would keep the descriptor through a polite close. */
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
    // `upgrade.ts` puts a connection back when it leaves a wish for another protocol aside.
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
  // Some answers are out before the application's own listener returns.
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
