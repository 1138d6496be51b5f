// Knows every connection: bounds their number, makes room by closing idle ones, and lets go of them when the server stops.
import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Capacity } from './capacity.ts';
import { networkOf } from './client-network.ts';

/** Connections above the capacity that live for as long as it takes to answer 503. More are cut off without an answer. */
const REFUSED_MAX = 32;
const REFUSED_MS_MAX = 5_000;

/** A connection that has only just come is about to send its request, and closing it would reset a call. */
const FRESH_MS = 1_000;

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
  return {
    add(socket: Socket): void {
      const network = networks.get(socket) ?? networkOf(socket.remoteAddress);
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
    oldest(): Socket | undefined {
      const [first] = all.keys();
      return first;
    },
    /** Whether a request may still be on its way. */
    isFresh: (socket: Socket): boolean => performance.now() - (all.get(socket) ?? 0) < FRESH_MS,
    /** The sockets of the same network. */
    beside: (socket: Socket): ReadonlySet<Socket> => byNetwork.get(networks.get(socket) ?? '') ?? new Set(),
  };
}

interface Bounds extends Pick<Capacity, 'connections' | 'idlePerNetwork'> {
  /** A trusted proxy connects for many clients, so it may keep any number of idle connections. */
  isProxy(address: string): boolean;
}

/** Node's own `closeIdleConnections` leaves a connection open that never sent a request: clients keep such in stock. */
export function trackConnections(
  server: Server,
  { connections, idlePerNetwork, isProxy }: Bounds,
): Connections {
  const open = new Set<Socket>();
  /** The calls in flight on each socket: a client may pipeline requests. */
  const answering = new Map<Socket, Set<ServerResponse>>();
  const refused = new Set<Socket>();
  const idle = createIdleSockets();
  let isReleasing = false;

  function forget(socket: Socket): void {
    open.delete(socket);
    refused.delete(socket);
    idle.delete(socket);
  }

  /** Destroys right away: a peer that reads nothing would keep the descriptor through a polite close. */
  function evict(socket: Socket | undefined): void {
    if (!socket) return;
    forget(socket);
    socket.destroy();
  }

  function refuse(socket: Socket): void {
    if (refused.size >= REFUSED_MAX) {
      evict(socket);
      return;
    }
    idle.delete(socket);
    refused.add(socket);
    const cutOff = setTimeout(() => evict(socket), REFUSED_MS_MAX);
    socket.once('close', () => clearTimeout(cutOff));
  }

  const staleOrNone = (socket: Socket | undefined) => (socket && !idle.isFresh(socket) ? socket : undefined);

  /** The oldest idle connection of a network that has too many. While there is room, a burst of new ones is not too many. */
  function surplusBeside(socket: Socket): Socket | undefined {
    const beside = idle.beside(socket);
    if (beside.size <= idlePerNetwork || isProxy(socket.remoteAddress ?? '')) return undefined;
    const [oldest] = beside;
    return open.size - refused.size > connections ? oldest : staleOrNone(oldest);
  }

  function admit(socket: Socket): void {
    // `upgrade.ts` puts a connection back when it leaves a wish for another protocol aside.
    if (open.has(socket)) return;
    open.add(socket);
    socket.once('close', () => {
      forget(socket);
      // Node emits `close` only for the response that has the socket.
      answering.delete(socket);
    });
    idle.add(socket);
    const admitted = () => open.size - refused.size;
    if (admitted() > connections / 2) evict(surplusBeside(socket));
    if (admitted() > connections) evict(staleOrNone(idle.oldest()));
    if (admitted() > connections) refuse(socket);
  }

  server.on('connection', admit);
  server.on('request', ({ socket }, res) => {
    const calls = answering.get(socket) ?? new Set();
    answering.set(socket, calls.add(res));
    idle.delete(socket);
    res.once('close', () => {
      calls.delete(res);
      if (calls.size > 0) return;
      answering.delete(socket);
      if (isReleasing) socket.destroySoon();
      else if (open.has(socket) && !refused.has(socket)) idle.add(socket);
    });
  });
  return {
    isAboveCapacity: (socket) => refused.has(socket),
    release() {
      isReleasing = true;
      for (const socket of open) if (!answering.has(socket)) socket.destroySoon();
    },
    destroy() {
      for (const socket of open) socket.destroy();
    },
  };
}
