// Chooses the ports of the embedded server: those it had, else the ones Temporal users expect, else the next free ones.
// All that speak HTTP, also those that we don't use: a webhook must not reach them, so they must be known.

import { createServer } from 'node:net';

// Beyond this many neighbours something is wrong with the machine, not with the choice.
const NEIGHBOURS_MAX = 600;

export interface ServerPorts {
  grpc: number;
  ui: number;
  /** Of its HTTP API, which can do all that gRPC can. */
  http: number;
  metrics: number;
}

/** Of each thirty the first ten: with what lies beside them, no two of these share a port. */
const isFirstOfThree = (offset: number): boolean => offset % 30 < 10;

/** Temporal itself suggests 7233, 8233 and 7243. */
const portsBeside = (grpc: number): ServerPorts => ({
  grpc,
  ui: grpc + 1_000,
  http: grpc + 10,
  metrics: grpc + 20,
});

export interface PortChoice {
  /** Of an earlier start, if there was one; what it did not choose is chosen beside its gRPC port. */
  remembered: (Partial<ServerPorts> & Pick<ServerPorts, 'grpc'>) | null;
  preferredGrpc: number;
  /** Ports that were free when asked and taken when used. */
  lost: ReadonlySet<number>;
}

/**
 * All four are free, and in step: two servers that start at once want the same four or none in common, so that of two that
 * share any, one ends for want of the gRPC port.
 */
export async function choosePorts({ remembered, preferredGrpc, lost }: PortChoice): Promise<ServerPorts> {
  const candidates = neighbours(preferredGrpc).map(portsBeside);
  if (remembered) candidates.unshift({ ...portsBeside(remembered.grpc), ...remembered });
  for (const ports of candidates) {
    if (await areFree(Object.values(ports), lost)) return ports;
  }
  throw new Error(
    `No free ports for the embedded Temporal server from ${preferredGrpc} to ${candidates.at(-1)?.grpc}; free some or set TEMPORAL_ADDRESS`,
  );
}

/**
 * Neighbours, not ports of the system's choosing: those are handed out to outgoing connections too, so a client that
 * reconnects while the server is down could sit on the server's own port.
 */
function neighbours(preferred: number): number[] {
  return Array.from({ length: NEIGHBOURS_MAX }, (_, offset) => offset)
    .filter(isFirstOfThree)
    .map((offset) => preferred + offset)
    .filter((port) => portsBeside(port).ui < 65_536);
}

async function areFree(ports: number[], lost: ReadonlySet<number>): Promise<boolean> {
  for (const port of ports) {
    if (lost.has(port) || !(await isFree(port))) return false;
  }
  return true;
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
