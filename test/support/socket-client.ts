// A WebSocket for tests, over the `ws` package: every frame as it came, the close, and a refusal with its envelope.
import type { IncomingMessage } from 'node:http';
import { type ClientOptions, WebSocket } from 'ws';
import { eventually } from './api-client.ts';

export interface Closed {
  code: number;
  reason: string;
}

export interface Refusal {
  status: number;
  headers: IncomingMessage['headers'];
  body: any;
}

export interface SocketOptions extends Omit<ClientOptions, 'key'> {
  /** Sent as a bearer token; null sends none. */
  key?: string | null;
  protocols?: string[];
}

export type TestSocket = Awaited<ReturnType<typeof openSocket>>;

async function bodyOf(response: IncomingMessage): Promise<any> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

function dial(
  url: string,
  { key = null, protocols = [], headers = {}, ...options }: SocketOptions,
): WebSocket {
  return new WebSocket(url.replace(/^http/, 'ws'), protocols, {
    ...options,
    headers: { ...(key !== null && { Authorization: `Bearer ${key}` }), ...headers },
  });
}

/** @param url Of the upgrade, with `http:`. @throws {Refusal} */
export async function openSocket(url: string, options: SocketOptions = {}) {
  const socket = dial(url, options);
  const frames: any[] = [];
  socket.on('message', (data) => {
    frames.push(JSON.parse(String(data)));
  });
  const closed = new Promise<Closed>((resolve) =>
    socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
  );
  const upgrade = new Promise<IncomingMessage>((resolve) => socket.once('upgrade', resolve));
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve).once('error', reject);
    socket.once('unexpected-response', (_request, response) => {
      const { statusCode: status = 0, headers } = response;
      bodyOf(response).then((body) => reject({ status, headers, body } satisfies Refusal), reject);
    });
  });
  // What the server does to the connection shows in `closed`.
  socket.on('error', () => undefined);
  return {
    socket,
    frames,
    closed,
    handshake: (await upgrade).headers,
    /** The events among the frames. */
    events: () => frames.filter(({ seq }) => seq !== undefined),
    send: (frame: unknown) => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
    /** The first frame, from now or earlier, that is so. */
    async until(isSo: (frame: any) => boolean): Promise<any> {
      const find = async () => frames.find(isSo) ?? null;
      return eventually(find, (frame) => frame !== null);
    },
    /** Sends a frame with an id of its own, and gives the frame that answers it. */
    async ask(frame: Record<string, unknown>): Promise<any> {
      const request_id = `ask-${frames.length}-${Math.random()}`;
      socket.send(JSON.stringify({ ...frame, request_id }));
      const find = async () => frames.find((each) => each.request_id === request_id) ?? null;
      return eventually(find, (found) => found !== null);
    },
    async close(): Promise<void> {
      socket.close();
      await closed;
    },
  };
}

/** The refusal of an upgrade. @throws Error when it is not refused. */
export async function refusalOf(url: string, options: SocketOptions = {}): Promise<Refusal> {
  const outcome = await openSocket(url, options).catch((refusal: Refusal) => refusal);
  if ('status' in outcome) return outcome;
  if (outcome instanceof Error) throw outcome;
  await outcome.close();
  throw new Error('The upgrade was not refused');
}
