// A proxy at the address where people open the Temporal UI. The server's own UI accepts every Host header and needs no login. A
// web page whose name resolves to 127.0.0.1 (DNS rebinding) could therefore read and end sessions. The proxy refuses such
// requests. The UI itself listens on an address that no page can guess (decision 0018).
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { isFree, LOCALHOST } from './free-ports.ts';

/** Any port: people also come through an SSH tunnel. */
const LOCAL_HOST = /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i;

// A browser opens six connections. A program that opens many must not exhaust the process's descriptors.
const CONNECTIONS_MAX = 100;

const NEIGHBOURS_MAX = 100;

const PLACE_FILE = 'ui.json';

/** Stays the same for one data directory, over restarts and versions. */
interface UiPlace {
  /** The port where people open the UI. */
  port: number;
  /** The loopback address where the server's own UI listens. */
  backendHost: string;
}

/** @returns {} if the file is missing or damaged. */
export function readUiPlace(temporalDir: string): Partial<UiPlace> {
  try {
    const { port, backendHost } = JSON.parse(readFileSync(join(temporalDir, PLACE_FILE), 'utf8'));
    return {
      ...(Number.isInteger(port) ? { port } : {}),
      ...(/^127(\.\d{1,3}){3}$/.test(backendHost) ? { backendHost } : {}),
    };
  } catch {
    return {};
  }
}

export function writeUiPlace(temporalDir: string, place: UiPlace): void {
  const path = join(temporalDir, PLACE_FILE);
  writeFileSync(`${path}.new`, `${JSON.stringify(place)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** A random loopback address on systems with all of 127.0.0.0/8, such as Linux. Otherwise 127.0.0.1. */
export async function chooseBackendHost(): Promise<string> {
  const host = `127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}`;
  return (await isFree(0, host)) ? host : LOCALHOST;
}

/** The reason to refuse a request that may come from a web page of another origin. Null for an accepted request. */
function refusalOf({ headers }: IncomingMessage): string | null {
  const { host = '', origin } = headers;
  if (!LOCAL_HOST.test(host)) return 'The Temporal UI answers only as 127.0.0.1 or localhost';
  if (origin !== undefined && origin !== `http://${host}`)
    return 'The Temporal UI answers no requests of other web pages';
  const site = headers['sec-fetch-site'] ?? 'none';
  const isForeign = site !== 'none' && site !== 'same-origin';
  // Links from other pages may open the UI.
  if (isForeign && headers['sec-fetch-mode'] !== 'navigate')
    return 'The Temporal UI answers no requests of other web pages';
  return null;
}

function refuse(response: ServerResponse, status: number, words: string): void {
  if (response.headersSent) response.destroy();
  else response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' }).end(`${words}\n`);
}

type Backend = { host: string; port: number };

/** Redirect policy: the browser gets redirects unchanged. */
function forward(incoming: IncomingMessage, response: ServerResponse, backend: Backend): void {
  const { method, url: path, headers } = incoming;
  const asked = request({ ...backend, method, path, headers, agent: false }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    pipeline(answer, response, () => {});
  });
  asked.on('error', () => refuse(response, 503, 'The embedded Temporal server is not running at the moment'));
  response.on('close', () => asked.destroy());
  pipeline(incoming, asked, () => {});
}

/** @returns true if the port was free. */
async function listenOn(server: Server, port: number): Promise<boolean> {
  server.listen({ host: LOCALHOST, port, exclusive: true });
  try {
    await once(server, 'listening');
    return true;
  } catch (error) {
    if (['EADDRINUSE', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

export interface UiPorts {
  /** The operator's port. No other port is tried. */
  configured: number | null;
  /** The port of the UI at the last start of this data directory. */
  remembered: number | null;
  preferred: number;
  /** Free now, but another part of this process will listen there. */
  reserved?: number | undefined;
}

async function listenOnFirstFree(
  server: Server,
  { configured, remembered, preferred, reserved }: UiPorts,
): Promise<number> {
  if (configured !== null) {
    if (await listenOn(server, configured)) return configured;
    throw new Error(
      `OPENCLAW_TEMPORAL_UI_PORT: port ${configured} is in use by another program, or not allowed. Choose another port.`,
    );
  }
  const candidates = Array.from({ length: NEIGHBOURS_MAX }, (_, offset) => preferred + offset);
  if (remembered !== null) candidates.unshift(remembered);
  for (const port of candidates) if (port !== reserved && (await listenOn(server, port))) return port;
  throw new Error(
    `No free port for the Temporal UI from ${preferred} on: set OPENCLAW_TEMPORAL_UI_PORT to a free one`,
  );
}

export interface EmbeddedUi {
  port: number;
  url: string;
  /** Forwards requests from now on. Earlier requests get 503. */
  serve(backend: Backend): void;
  close(): Promise<void>;
}

/** @throws {Error} if the configured port is taken. */
export async function openEmbeddedUi(ports: UiPorts): Promise<EmbeddedUi> {
  let backend: Backend | null = null;
  const server = createServer((incoming, response) => {
    const refusal = refusalOf(incoming);
    if (refusal !== null) refuse(response, 403, refusal);
    else if (backend === null) refuse(response, 503, 'The embedded Temporal server is starting');
    else forward(incoming, response, backend);
  });
  server.maxConnections = CONNECTIONS_MAX;
  const port = await listenOnFirstFree(server, ports);
  return {
    port,
    url: `http://${LOCALHOST}:${port}`,
    serve(to) {
      backend = to;
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
