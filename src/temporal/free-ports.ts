// Chooses the ports of the embedded server: those it had, else the ones Temporal users expect, else the next free ones.

import { createServer } from 'node:net';

// Beyond this many neighbours something is wrong with the machine, not with the choice.
const NEIGHBOURS_MAX = 200;

export interface ServerPorts {
  grpc: number;
  ui: number;
}

export interface PortChoice {
  remembered: ServerPorts | null;
  preferred: ServerPorts;
  /** Ports that were free when asked and taken when used. */
  lost: ReadonlySet<number>;
}

export async function choosePorts({ remembered, preferred, lost }: PortChoice): Promise<ServerPorts> {
  const taken = new Set(lost);
  const grpc = await firstFree([remembered?.grpc, ...neighbours(preferred.grpc)], taken);
  taken.add(grpc);
  const ui = await firstFree([remembered?.ui, ...neighbours(preferred.ui)], taken);
  return { grpc, ui };
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
