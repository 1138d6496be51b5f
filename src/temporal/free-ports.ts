// Chooses the ports of the embedded server: those it had, else the ones Temporal users expect, else the next free ones.
// The unused HTTP ports are chosen as well: they must be known, so that no webhook reaches them.

import { createServer } from 'node:net';

// Beyond this many neighbours something is wrong with the machine, not with the choice.
const NEIGHBOURS_MAX = 600;

export const LOCALHOST = '127.0.0.1';

export interface ServerPorts {
  grpc: number;
  /** The HTTP API, which can do all that gRPC can. */
  http: number;
  metrics: number;
  /** The server's own UI. People reach it through `embedded-ui`, which checks their requests. */
  uiBackend: number;
}

/** The first ten of each forty: with the ports beside them, no two of these share a port. */
const isFirstOfFour = (offset: number): boolean => offset % 40 < 10;

/** Temporal itself suggests 7233 and 7243. */
const portsBeside = (grpc: number): ServerPorts => ({
  grpc,
  http: grpc + 10,
  metrics: grpc + 20,
  uiBackend: grpc + 30,
});

/** Earlier releases chose fewer ports, or others. */
export type RecordedPorts = Partial<ServerPorts> & Pick<ServerPorts, 'grpc'>;

function portsAsRecorded({ grpc, http, metrics, uiBackend }: RecordedPorts): ServerPorts {
  const beside = portsBeside(grpc);
  return {
    grpc,
    http: http ?? beside.http,
    metrics: metrics ?? beside.metrics,
    uiBackend: uiBackend ?? beside.uiBackend,
  };
}

export interface PortChoice {
  /** Of an earlier start, if there was one. A port that is missing there is chosen beside the gRPC port. */
  remembered: RecordedPorts | null;
  preferredGrpc: number;
  /** The address of the UI backend; the other ports are on 127.0.0.1. */
  uiHost: string;
  /** Ports that are reserved, or were free when asked and taken when used. */
  lost: ReadonlySet<number>;
}

/**
 * All are free, and in step: two servers that start at once want the same ports or none in common, so that of two that
 * share any, one ends because it cannot get the gRPC port.
 */
export async function choosePorts(choice: PortChoice): Promise<ServerPorts> {
  const candidates = neighbours(choice.preferredGrpc).map(portsBeside);
  if (choice.remembered) candidates.unshift(portsAsRecorded(choice.remembered));
  for (const ports of candidates) {
    if (await areFree(ports, choice)) return ports;
  }
  throw new Error(
    `No free ports for the embedded Temporal server from ${choice.preferredGrpc} to ${candidates.at(-1)?.grpc}; free some or set TEMPORAL_ADDRESS`,
  );
}

/**
 * Neighbours, not ports of the system's choosing: those are handed out to outgoing connections too, so a client that
 * reconnects while the server is down could sit on the server's own port.
 */
function neighbours(preferred: number): number[] {
  return Array.from({ length: NEIGHBOURS_MAX }, (_, offset) => offset)
    .filter(isFirstOfFour)
    .map((offset) => preferred + offset)
    .filter((port) => portsBeside(port).uiBackend < 65_536);
}

async function areFree(
  { uiBackend, ...others }: ServerPorts,
  { uiHost, lost }: PortChoice,
): Promise<boolean> {
  const places = [
    ...Object.values(others).map((port) => [port, LOCALHOST] as const),
    [uiBackend, uiHost] as const,
  ];
  for (const [port, host] of places) {
    if (lost.has(port) || !(await isFree(port, host))) return false;
  }
  return true;
}

export function isFree(port: number, host = LOCALHOST): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
