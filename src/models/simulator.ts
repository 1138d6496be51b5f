// The built-in stand-in for Claude: a real HTTP server with the Messages API, so that the same adapter is used.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BUILT_IN_MODELS } from './catalogue-data.ts';
import { composeAnswer } from './simulator/compose.ts';
import { lastUserText, readConversation, toMessages } from './simulator/conversation.ts';
import { faultOf, type Markers, readMarkers, withoutFailures } from './simulator/markers.ts';
import { countTokens, createPromptCache, type PromptCache } from './simulator/prompt-cache.ts';
import { RefusedError } from './simulator/refused.ts';
import { readJson } from './simulator/rules/text.ts';
import { type Delivery, sendError, sendJson, sendStream, sendWhole } from './simulator/wire.ts';

export interface SimulatorOptions {
  host?: string;
  /** 0 takes a free port. */
  port?: number;
  /** Replies with `[simulated] ` and the user's text only: short, for tests and benchmarks. */
  echoOnly?: boolean;
  /** Milliseconds per word. The marker `token_ms` takes precedence. */
  tokenMs?: number;
  /** Called with the parsed body at the start of each model call. The simulator doesn't keep the body. */
  onCall?: (call: SimulatorCall, body: unknown) => void;
}

/** One `POST /v1/messages`. */
export interface SimulatorCall {
  /** The last text of a user, markers included. */
  readonly text: string;
  readonly model: string;
  readonly isStream: boolean;
  /** 1 for the first call with this text. */
  readonly attempt: number;
  /** `failed`: refused or broken on request. `aborted`: the client disconnected. */
  outcome: 'open' | 'completed' | 'failed' | 'aborted';
}

export interface Simulator {
  /** The `baseUrl` of the adapter, without a path. */
  readonly url: string;
  /** The newest calls, oldest first, at most 10,000. */
  readonly calls: readonly SimulatorCall[];
  /** Cuts open connections. */
  close(): Promise<void>;
}

/** Slow enough to read along: about 300 words a second. */
const TOKEN_MS = 3;
const CALLS_MAX = 10_000;
/** The real API's own limit. */
const BODY_BYTES_MAX = 32 * 1024 * 1024;
/** Longer than the adapter keeps a connection, so the server never closes a connection under a request. */
const KEEP_ALIVE_MS = 65_000;

interface State {
  options: SimulatorOptions;
  calls: SimulatorCall[];
  /** Calls per text, for the texts of the kept calls. */
  attempts: Map<string, number>;
  cache: PromptCache;
}

/**
 * Starts the simulator. Serves `POST /v1/messages` (JSON and events), `POST /v1/messages/count_tokens` and `GET /v1/models`.
 * Like the real API, the simulator wants a key (any will do) and refuses invalid requests. A reply says that it is
 * simulated, quotes the user and counts the user's messages.
 * `use tool NAME {json}` in the user's last text calls an offered tool. Several such phrases make several calls at once. The next
 * reply quotes each tool's result. Plain words that name a tool and all its required input call it too, except with `echoOnly`.
 *
 * Markers in the user's last text:
 *
 * | marker | effect |
 * |---|---|
 * | `[[delay_ms=3000]]` | waits before the first token, with pings |
 * | `[[tokens=500]]` | length of the reply in words |
 * | `[[token_ms=20]]` | pace |
 * | `[[rounds=3]]` | calls the tools of the text three times in a row, with words before them |
 * | `[[status=529]]` | answers with this error status |
 * | `[[status=429 retry_after=7]]` | with `retry-after` in seconds, or as a date with `retry_after_date=7` |
 * | `[[context_too_long]]` | 400 "prompt is too long" |
 * | `[[cut_after=3]]` | closes the socket after 3 deltas |
 * | `[[error_after=3]]` | sends an `error` event (overloaded) after 3 deltas |
 * | `[[silent_after=3]]` | sends nothing more after 3 deltas, not even pings |
 * | `[[malformed_after=3]]` | sends an event that is not JSON after 3 deltas |
 * | `[[times=2]]` | only the first 2 calls with this text fail, by any of the six above |
 * | `[[empty]]` | a reply without content |
 * | `[[thinking]]` | a thinking block first |
 * | `[[stop_reason=refusal]]` | this stop reason |
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { host = '127.0.0.1', port = 0 } = options;
  const state: State = { options, calls: [], attempts: new Map(), cache: createPromptCache() };
  const server = createServer((request, response) => {
    handle(state, request, response).catch((error) => answerError(response, error));
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const { port: actualPort } = server.address() as AddressInfo;
  return { url: `http://${host}:${actualPort}`, calls: state.calls, close: () => closeServer(server) };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function handle(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '').split('?')[0];
  checkHeaders(request);
  if (request.method === 'GET' && path === '/v1/models') return sendJson(response, 200, modelList());
  if (request.method !== 'POST') throw new RefusedError(404, 'Not found');
  const body = await readBody(request);
  if (path === '/v1/messages') {
    return await answerMessage(state, body, String(request.headers['anthropic-version']), response);
  }
  if (path !== '/v1/messages/count_tokens') throw new RefusedError(404, 'Not found');
  toMessages(body.messages);
  sendJson(response, 200, { input_tokens: countTokens(body) });
}

function answerError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) response.destroy();
  else if (error instanceof RefusedError) sendError(response, error.status, error.message);
  else sendError(response, 500, `The simulator failed: ${String(error)}`);
}

function checkHeaders({ headers }: IncomingMessage): void {
  const bearer = /^Bearer \S/.test(headers.authorization ?? '');
  if (!bearer && !headers['x-api-key']) throw new RefusedError(401, 'x-api-key header is required');
  if (!headers['anthropic-version']) throw new RefusedError(400, 'anthropic-version: header is required');
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new RefusedError(413, 'Request exceeds the maximum size');
    chunks.push(chunk);
  }
  return readJson(Buffer.concat(chunks));
}

async function answerMessage(
  state: State,
  body: Record<string, unknown>,
  apiVersion: string,
  response: ServerResponse,
): Promise<void> {
  const conversation = readConversation(body, apiVersion);
  const text = lastUserText(conversation.messages);
  const call = recordCall(state, { text, model: conversation.model, isStream: conversation.isStream }, body);
  const signal = watchClient(response, call);
  const markers = markersOf(text, call.attempt);
  const refusal = refusalOf(markers);
  if (refusal !== null) {
    call.outcome = 'failed';
    return sendError(response, refusal.status, refusal.message, refusal.headers);
  }
  if ((faultOf(markers)?.kind ?? 'silent') !== 'silent') call.outcome = 'failed';
  const delivery: Delivery = {
    model: conversation.model,
    answer: composeAnswer(conversation, markers, state.options.echoOnly ?? false),
    input: state.cache.count(body),
    markers,
    tokenMs: markers.tokenMs ?? state.options.tokenMs ?? TOKEN_MS,
    signal,
  };
  await deliver(response, delivery, conversation.isStream);
}

/** A client that disconnects is no error. The unsent rest is dropped. */
async function deliver(response: ServerResponse, delivery: Delivery, isStream: boolean): Promise<void> {
  try {
    await (isStream ? sendStream(response, delivery) : sendWhole(response, delivery));
  } catch (error) {
    if (!delivery.signal.aborted) throw error;
  }
}

function recordCall(
  state: State,
  { text, model, isStream }: Pick<SimulatorCall, 'text' | 'model' | 'isStream'>,
  body: unknown,
): SimulatorCall {
  const attempt = (state.attempts.get(text) ?? 0) + 1;
  state.attempts.set(text, attempt);
  const call: SimulatorCall = { text, model, isStream, attempt, outcome: 'open' };
  state.calls.push(call);
  if (state.calls.length > CALLS_MAX) forgetOldest(state);
  state.options.onCall?.(call, body);
  return call;
}

function forgetOldest(state: State): void {
  const oldest = state.calls.shift();
  if (oldest !== undefined && state.attempts.get(oldest.text) === oldest.attempt)
    state.attempts.delete(oldest.text);
}

function watchClient(response: ServerResponse, call: SimulatorCall): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => {
    if (call.outcome === 'open') call.outcome = response.writableFinished ? 'completed' : 'aborted';
    controller.abort();
  });
  return controller.signal;
}

function markersOf(text: string, attempt: number): Markers {
  const markers = readMarkers(text);
  return markers.times !== null && attempt > markers.times ? withoutFailures(markers) : markers;
}

function refusalOf(
  markers: Markers,
): { status: number; message: string; headers: Record<string, string> } | null {
  const headers: Record<string, string> = {};
  if (markers.retryAfterS !== null) headers['retry-after'] = String(markers.retryAfterS);
  if (markers.retryAfterDateS !== null) {
    headers['retry-after'] = new Date(Date.now() + markers.retryAfterDateS * 1000).toUTCString();
  }
  if (markers.isTooLong)
    return { status: 400, message: 'prompt is too long: 1000001 tokens > 1000000 maximum', headers };
  if (markers.status === null) return null;
  return { status: markers.status, message: `Simulated failure with status ${markers.status}`, headers };
}

function modelList(): unknown {
  const data = BUILT_IN_MODELS.filter((entry) => entry.id === entry.resolvesTo).map(({ id }) => ({
    type: 'model',
    id,
    display_name: `${id} (simulated)`,
    created_at: '2026-01-01T00:00:00Z',
  }));
  return { data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
}
