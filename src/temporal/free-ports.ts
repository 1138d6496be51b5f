// Chooses the ports of the embedded server: those it had, else the ones Temporal users expect, else the next free ones.
// All that speak HTTP, also those that we don't use: a webhook must not reach them, so they must be known.

import { createServer } from 'node:net';

// Beyond this many neighbours something is wrong with the machine, not with the choice.
const NEIGHBOURS_MAX = 200;

export interface ServerPorts {
  grpc: number;
  ui: number;
  /** Of its HTTP API, which can do all that gRPC can. */
  http: number;
  metrics: number;
}

/** Temporal itself suggests 7233 and 7243. */
const HTTP_AFTER_GRPC = 10;
const METRICS_AFTER_GRPC = 20;

export interface PortChoice {
  remembered: Partial<ServerPorts> | null;
  preferred: Pick<ServerPorts, 'grpc' | 'ui'>;
  /** Ports that were free when asked and taken when used. */
  lost: ReadonlySet<number>;
}

export async function choosePorts({ remembered, preferred, lost }: PortChoice): Promise<ServerPorts> {
  const taken = new Set(lost);
  async function choose(name: keyof ServerPorts, first: number): Promise<number> {
    const port = await firstFree([remembered?.[name], ...neighbours(first)], taken);
    taken.add(port);
    return port;
  }
  return {
    grpc: await choose('grpc', preferred.grpc),
    ui: await choose('ui', preferred.ui),
    http: await choose('http', preferred.grpc + HTTP_AFTER_GRPC),
    metrics: await choose('metrics', preferred.grpc + METRICS_AFTER_GRPC),
  };
}

/**
 * Neighbours, not ports of the system's choosing: those are handed out to outgoing connections too, so a client that
 * reconnects while the server is down could sit on the server's own port.
 */
function neighbours(preferred: number): number[] {
  return Array.from({ length: NEIGHBOURS_MAX }, (_, offset) => preferred + offset).filter(
    (port) => port < 65_536,
  );
}

async function firstFree(candidates: (number | undefined)[], taken: ReadonlySet<number>): Promise<number> {
  for (const port of candidates) {
    if (port !== undefined && !taken.has(port) && (await isFree(port))) return port;
  }
  const last = candidates.at(-1);
  throw new Error(
    `No free port for the embedded Temporal server up to ${last}; free one or set TEMPORAL_ADDRESS`,
  );
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
