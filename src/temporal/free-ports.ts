// Chooses the ports of the embedded server: its previous ports, else the ports that Temporal users expect, else the next free
// ones. Includes the unused HTTP port, because webhooks must be kept from reaching it.

import { createServer } from 'node:net';

// If this many neighbours are taken, the fault lies with the machine.
const NEIGHBOURS_MAX = 600;

export const LOCALHOST = '127.0.0.1';

export interface ServerPorts {
  grpc: number;
  /** The HTTP API, with the same powers as gRPC. */
  http: number;
  metrics: number;
  /** The server's own UI. People reach it through `embedded-ui`, which checks their requests. */
  uiBackend: number;
}

/** Takes the first ten of each forty offsets. With their neighbouring ports, no two candidates share a port. */
const isFirstOfFour = (offset: number): boolean => offset % 40 < 10;

/** Temporal itself suggests 7233 and 7243. */
const portsBeside = (grpc: number): ServerPorts => ({
  grpc,
  http: grpc + 10,
  metrics: grpc + 20,
  uiBackend: grpc + 30,
});

/** Earlier releases recorded fewer or different ports. */
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
  /** The ports of an earlier start, if any. A missing port is chosen next to the gRPC port. */
  remembered: RecordedPorts | null;
  preferredGrpc: number;
  /** The address of the UI backend. The other ports are on 127.0.0.1. */
  uiHost: string;
  /** Ports that are reserved, or were free at the check and taken at the start. */
  lost: ReadonlySet<number>;
}

/**
 * Returns free ports as a fixed pattern. Two simultaneous starts want the same ports or have none in common. If they share ports,
 * one server ends because it can't get the gRPC port.
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
 * Uses neighbouring ports, because the system also assigns its free ports to outgoing connections. A client that reconnects while
 * the server is down could then occupy the server's own port.
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
