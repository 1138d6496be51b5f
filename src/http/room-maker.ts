// Chooses the connections to close when all are in use. The network with the most connections loses its oldest first.
import type { Socket } from 'node:net';

/** A connection that waits for its client: idle, or with a request or response held up by the client. */
export interface Held {
  socket: Socket;
  /** By `performance.now()`. */
  since: number;
  network: string;
  /** A trusted proxy connects for many clients. */
  isProxy: boolean;
}

/** A new connection is about to send its request, and closing it would reset a call. */
export const FRESH_MS = 1_000;

/** Sorting 10,000 connections takes some milliseconds, so an order is reused for this long. */
const ORDER_MS_MAX = 100;

interface RoomMakerOptions {
  /**
   * A network with more connections than this also loses fresh connections. Otherwise a client that keeps reconnecting would
   * keep others out.
   */
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
        // A connection's rank is the size of its network once all older connections are closed.
        .map((one) => {
          const rank = (inNetwork.get(one.network) ?? 0) + 1;
          inNetwork.set(one.network, rank);
          return { ...one, rank };
        })
        .filter(({ since, rank, isProxy }) => now - since >= FRESH_MS || (rank > perNetwork && !isProxy))
        // `pop` takes the next connection from the end.
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
      // The client may have become active since the sort.
      if (heldOf(next.socket)?.since === next.since) return next.socket;
    return undefined;
  };
}
