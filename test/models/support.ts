// Shared by the model suites: requests, collected calls, and raw HTTP servers for wires that no real server has.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type AnthropicModelOptions, createAnthropicModel } from '../../src/models/anthropic.ts';
import type { Model, ModelReply, ModelRequest } from '../../src/models/port.ts';
import { ModelCallError } from '../../src/models/port.ts';

export const API_KEY = 'sk-ant-test-0123456789abcdef';

export function requestOf(text: string, more: Partial<ModelRequest> = {}): ModelRequest {
  return {
    model: 'claude-sonnet-4-6',
    system: null,
    messages: [{ role: 'user', content: [{ type: 'text', text }] }],
    tools: [],
    maxTokens: 1024,
    temperature: null,
    thinking: null,
    ...more,
  };
}

export interface Collected {
  reply: ModelReply;
  pieces: string[];
}

export async function collect(
  model: Model,
  request: ModelRequest,
  signal = new AbortController().signal,
): Promise<Collected> {
  const pieces: string[] = [];
  const reply = await model.stream(request, {
    signal,
    onText: (text) => pieces.push(text),
    onUsage: () => undefined,
  });
  return { reply, pieces };
}

/** The ModelCallError of a call that has to fail with one. */
export async function failureOf(call: Promise<unknown>): Promise<ModelCallError> {
  const outcome = await call.then(
    () => new Error('the call did not fail'),
    (error: unknown) => error,
  );
  if (outcome instanceof ModelCallError) return outcome;
  throw outcome;
}

export interface RawServer {
  url: string;
  requests: { headers: IncomingMessage['headers']; body: Record<string, unknown> }[];
  /** Connections accepted so far. */
  connections(): number;
  openConnections(): number;
  close(): Promise<void>;
}

/** Reads each request whole, then lets the handler write what it likes. */
async function startRawServer(handler: Handler): Promise<RawServer> {
  const requests: RawServer['requests'] = [];
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    requests.push({ headers: request.headers, body: JSON.parse(Buffer.concat(chunks).toString() || '{}') });
    await handler(response, requests.length);
  });
  server.on('connection', (socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    connections: () => accepted,
    openConnections: () => sockets.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function event(type: string, fields: Record<string, unknown> = {}): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
}

export const MESSAGE_START = event('message_start', {
  message: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-answering',
    content: [],
    usage: { input_tokens: 11, output_tokens: 1, cache_creation_input_tokens: 5, cache_read_input_tokens: 7 },
  },
});

export function messageEnd(stopReason = 'end_turn'): string {
  const delta = { stop_reason: stopReason, stop_sequence: null };
  return event('message_delta', { delta, usage: { output_tokens: 42 } }) + event('message_stop');
}

export function block(
  index: number,
  start: Record<string, unknown>,
  deltas: Record<string, unknown>[],
): string {
  return [
    event('content_block_start', { index, content_block: start }),
    ...deltas.map((delta) => event('content_block_delta', { index, delta })),
    event('content_block_stop', { index }),
  ].join('');
}

export function textBlock(index: number, ...texts: string[]): string {
  return block(
    index,
    { type: 'text', text: '', citations: null },
    texts.map((text) => ({ type: 'text_delta', text })),
  );
}

export function openStream(response: ServerResponse): ServerResponse {
  return response.writeHead(200, { 'content-type': 'text/event-stream', 'request-id': 'req_1' });
}

/** Polls; a suite that waits for nothing in vain ends by jest's own time limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

export function whole(...parts: string[]): string {
  return [MESSAGE_START, ...parts, messageEnd()].join('');
}

export type Handler = (response: ServerResponse, count: number) => void | Promise<void>;

const closers: (() => Promise<void>)[] = [];

/** A raw server with a model before it; for `afterEach(closeAll)`. */
export async function serve(handler: Handler, options: Partial<AnthropicModelOptions> = {}) {
  const server = await startRawServer(handler);
  const model = createAnthropicModel({
    apiKey: API_KEY,
    baseUrl: server.url,
    silenceTimeoutMs: 400,
    ...options,
  });
  closers.push(server.close, model.close);
  return { server, model };
}

export function closeLater(close: () => Promise<void>): void {
  closers.push(close);
}

export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close();
}
