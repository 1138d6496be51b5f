// Listens with explicit time limits, and stops without leaving a connection open.
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import type { Express, Request } from 'express';
import { type Capacity, capacityOf } from './capacity.ts';
import { type Connections, trackConnections } from './connections.ts';
import type { OpenCalls } from './open-calls.ts';
import { inTurn } from './pipelining.ts';
import { answerClientError } from './socket-errors.ts';
import { serveUpgrades } from './upgrade.ts';

const LIMITS = {
  /** Longer than the idle time of usual load balancers (60 s), so that the balancer closes idle connections first. */
  keepAliveTimeout: 65_000,
  /** A client that needs longer for its headers only holds a socket. */
  headersTimeout: 30_000,
  /** For a whole request to arrive: 4 MiB at 75 kB/s. Responses may take any time. */
  requestTimeout: 55_000,
  /** How often Node checks the two limits above. */
  connectionsCheckingInterval: 5_000,
  maxHeaderSize: 16 * 1024,
};

/** A mobile client that switches networks resumes reading within this time. */
const UNREAD_MS_MAX = 25_000;

/** A stop must end within 10 s. Remaining connections are closed after this time, such as streams whose client reads nothing. */
const CLOSE_GRACE_MS = 7_000;

export interface HttpServer {
  host: string;
  /** The actual port if 0 was requested. */
  port: number;
  url: string;
  /** Node's own server, to read its settings. */
  server: Server;
  /** Stops accepting, ends open streams, answers waiting calls, and resolves when all connections are closed. */
  close(): Promise<void>;
}

interface ListenOptions {
  host: string;
  port: number;
}

/** @throws Error naming the port and the fix, if the port isn't available. */
export async function listen(
  app: Express,
  { host, port, unreadMsMax = UNREAD_MS_MAX }: ListenOptions & { unreadMsMax?: number },
): Promise<HttpServer> {
  const capacity = (app.locals.capacity as Capacity | undefined) ?? capacityOf(null);
  // `requireHostHeader` would answer without our envelope, so the app checks the header.
  const server = createServer({ ...LIMITS, requireHostHeader: false }, inTurn(app));
  // Node would silently drop headers after the 2,000th. Their total size is bounded in bytes.
  server.maxHeadersCount = 0;
  const connections = trackConnections(server, {
    ...capacity,
    unreadMsMax,
    isProxy: proxyTest(app),
    clientOf: (req) => (req as Request).ip,
  });
  app.locals.connections = connections;
  serveUpgrades(server);
  server.on('clientError', answerClientError);
  // An unknown expectation is no reason to refuse, and Node's own refusal has no envelope.
  server.on('checkExpectation', (req, res) => server.emit('request', req, res));
  await bind(server, host, port);
  const actual = (server.address() as AddressInfo).port;
  const name = host.includes(':') ? `[${host}]` : host;
  return {
    host,
    port: actual,
    url: `http://${name}:${actual}`,
    server,
    close: () => close(server, connections, app),
  };
}

/** Express compiles the addresses of `trust proxy` to a function of an address and its place in the chain. */
function proxyTest(app: Express): (address: string) => boolean {
  const isTrusted = app.get('trust proxy fn') as (address: string, hop: number) => boolean;
  return (address) => isTrusted(address, 0);
}

/**
 * Checks that the port is free and releases it, for a start with slow work before listening.
 * @throws Error as `listen` does.
 */
export async function assertPortFree({ host, port }: ListenOptions): Promise<void> {
  // Clients that retry may connect to this server. An accepted call would never be answered, and would hold up the start.
  const server = createTcpServer((socket) => socket.destroy());
  await bind(server, host, port);
  await new Promise((resolve) => server.close(resolve));
}

function bind(server: TcpServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explained(error, host, port)));
    server.listen(port, host, resolve);
  });
}

function explained(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const unknownHost = `HOST: no name server knows ${host}. Set HOST to an address or a name of this machine.`;
  const fixes: Record<string, string> = {
    ENOTFOUND: unknownHost,
    EAI_AGAIN: unknownHost,
    EADDRINUSE: `Port ${port} on ${host} is already in use. Stop the process that holds it, or set PORT to a free port.`,
    EACCES: `Port ${port} on ${host} needs rights that this process does not have. Set PORT to a port above 1023.`,
    EADDRNOTAVAIL: `HOST: this machine has no address ${host}. Set HOST to one of its own addresses.`,
  };
  return new Error(fixes[error.code ?? ''] ?? `Cannot listen on ${host}:${port}: ${error.message}`, {
    cause: error,
  });
}

function close(server: Server, connections: Connections, app: Express): Promise<void> {
  return new Promise((resolve) => {
    const cutOff = setTimeout(connections.destroy, CLOSE_GRACE_MS);
    server.close(() => {
      clearTimeout(cutOff);
      resolve();
    });
    (app.locals.openCalls as OpenCalls).abortAll();
    connections.release();
  });
}
