// Chooses the connections that make room when all are in use: the network that holds most of them loses its oldest first.
import type { Socket } from 'node:net';

/** A connection that waits for its client: idle, or with a request or an answer that the client holds up. */
export interface Held {
  socket: Socket;
  /** By `performance.now()`. */
  since: number;
  network: string;
  /** A trusted proxy connects for many clients. */
  isProxy: boolean;
}

/** A connection that has only just come is about to send its request, and closing it would reset a call. */
export const FRESH_MS = 1_000;

/** To sort 10,000 connections takes some milliseconds, so an order serves for a while. */
const ORDER_MS_MAX = 100;

interface RoomMakerOptions {
  /** A network that holds more than this loses fresh connections, too. Or else one that connects anew all the time keeps others out. */
  perNetwork: number;
  heldOf(socket: Socket): Held | undefined;
}

export function createRoomMaker(
  open: Iterable<Socket>,
  { perNetwork, heldOf }: RoomMakerOptions,
): () => Socket | undefined {
  let order: Held[] = [];
  let orderedAt = Number.NEGATIVE_INFINITY;

  function sort(now: number): Held[] {
    const held = [...open].map(heldOf).filter((one) => one !== undefined);
    const inNetwork = new Map<string, number>();
    return (
      held
        .sort((a, b) => b.since - a.since)
        // A connection's rank is the number of its network's connections when it is the oldest that is left.
        .map((one) => {
          const rank = (inNetwork.get(one.network) ?? 0) + 1;
          inNetwork.set(one.network, rank);
          return { ...one, rank };
        })
        .filter(({ since, rank, isProxy }) => now - since >= FRESH_MS || (rank > perNetwork && !isProxy))
        // The next one is taken from the end.
        .sort((a, b) => a.rank - b.rank || b.since - a.since)
    );
  }

  /** @returns the connection to close, if any. */
  return () => {
    const now = performance.now();
    if (now - orderedAt >= ORDER_MS_MAX) {
      order = sort(now);
      orderedAt = now;
    }
    for (let next = order.pop(); next; next = order.pop())
      // The client may have gone on meanwhile.
      if (heldOf(next.socket)?.since === next.since) return next.socket;
    return undefined;
  };
}
