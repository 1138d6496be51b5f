// The model port over Anthropic's Messages API, as streamed HTTP calls. Temporal does the retries.

import Anthropic from '@anthropic-ai/sdk';
import { Agent, type Dispatcher, Response as UndiciResponse, fetch as undiciFetch } from 'undici';
import { toMessagesJson } from './anthropic-request.ts';
import { boundAnswers } from './bounded-answers.ts';
import { readEvents } from './event-stream.ts';
import {
  brokenStream,
  codeOf,
  endlessReply,
  type FailureContext,
  isRequestRefused,
  toModelCallError,
} from './failures.ts';
import type { Model, ModelCallOptions, ModelReply, ModelRequest } from './port.ts';
import { createReplyAccumulator, type ReplyAccumulator } from './reply-accumulator.ts';
import { BLOCK_DEPTH_MAX, MEANING_TIMEOUT_MS } from './reply-limits.ts';
import { isDeeperThan } from './safe-text.ts';
import { createRefusedThoughts, hasPrivateBlocks, type RefusedThoughts } from './thoughts.ts';

/** Claude's own address, used when none is configured. Always passed, so that the SDK reads no environment variable. */
const DEFAULT_BASE_URL = 'https://api.anthropic.com';

/** The last API version with `temperature`. The SDK's own version (2026-10-21) refuses the field on every model. */
const SAMPLING_API_VERSION = '2023-06-01';

/** Claude pings every few seconds, even while thinking. A minute without a byte means a dead connection. */
const SILENCE_TIMEOUT_MS = 60_000;

/** TCP and TLS to a healthy address take well under a second. After ten seconds a retry is more likely to succeed elsewhere. */
const CONNECT_TIMEOUT_MS = 10_000;

/** Most of a turn's tools finish within this time, so the next step reuses the open connection. Servers may set less. */
const KEEP_ALIVE_MS = 30_000;

/** `message_stop` follows the stop reason immediately. Some gateways omit `message_stop` and keep the connection open. */
const STOP_MS = 5_000;

/** The body ends immediately after `message_stop`. A short wait for the end keeps the connection reusable. */
const DRAIN_MS = 250;

export interface AnthropicModelOptions {
  /** Null sends no credential at all, for gateways that need none. */
  apiKey: string | null;
  /** Without `/v1`. Null means Anthropic's own address. */
  baseUrl: string | null;
  /** Longest time without any byte, pings included, before the call fails as `model_unavailable`. */
  silenceTimeoutMs?: number;
  /** Longest time with nothing but pings and other empty events, before the call fails as `model_unavailable`. */
  meaningTimeoutMs?: number;
  /** Longest wait for `message_stop` after a stop reason. */
  stopMs?: number;
  connectTimeoutMs?: number;
}

/** Bounds the content type shown in an error message. */
const TYPE_CHARS_MAX = 100;

interface Caller {
  client: Anthropic;
  secret: string | null;
  silenceTimeoutMs: number;
  meaningTimeoutMs: number;
  stopMs: number;
  thoughts: RefusedThoughts;
}

interface Call {
  caller: Caller;
  accumulator: ReplyAccumulator;
  /** The abort signal of `ModelCallOptions`. */
  signal: AbortSignal;
  /** Ends the HTTP call: at the end of the reply, or after too long without content. */
  ended: AbortController;
}

/**
 * Creates a model that calls the Messages API of `baseUrl`. Calls are independent and may run in parallel.
 * `close` ends idle and running connections. Calls in flight then fail as `model_unavailable`.
 * @throws {Error} for a key that no HTTP header can carry.
 */
export function createAnthropicModel(options: AnthropicModelOptions): Model & { close(): Promise<void> } {
  const {
    silenceTimeoutMs = SILENCE_TIMEOUT_MS,
    meaningTimeoutMs = MEANING_TIMEOUT_MS,
    stopMs = STOP_MS,
    connectTimeoutMs = CONNECT_TIMEOUT_MS,
  } = options;
  if (!/^[\x21-\x7e]+$/.test(options.apiKey ?? 'none')) {
    throw new Error('The model API key is empty, or holds spaces or other characters that no key has.');
  }
  const agent = new Agent({
    connect: { timeout: connectTimeoutMs },
    // Both time-outs count bytes on the socket, so pings keep the call alive although the SDK hides them.
    headersTimeout: silenceTimeoutMs,
    bodyTimeout: silenceTimeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
  });
  const dispatcher = agent.compose(boundAnswers);
  const client = createClient(options, dispatcher, connectTimeoutMs + silenceTimeoutMs);
  const thoughts = createRefusedThoughts();
  const limits = { silenceTimeoutMs, meaningTimeoutMs, stopMs };
  const caller: Caller = { client, secret: options.apiKey, thoughts, ...limits };
  return {
    stream: (request, callOptions) => streamWithRepair(caller, request, callOptions),
    close: () => agent.destroy(),
  };
}

function createClient(
  { apiKey, baseUrl }: AnthropicModelOptions,
  dispatcher: Dispatcher,
  timeout: number,
): Anthropic {
  return new Anthropic({
    // Without any key the SDK searches this machine for credentials. The placeholder is never sent.
    apiKey: apiKey ?? 'none',
    // The SDK sends a bearer token, but many compatible servers only know the older header.
    defaultHeaders: {
      ...(apiKey === null ? { authorization: null } : { 'x-api-key': apiKey }),
      // Compression delays tokens and hides the real size of a response.
      'accept-encoding': 'identity',
    },
    authToken: null,
    webhookKey: null,
    baseURL: baseUrl ?? DEFAULT_BASE_URL,
    maxRetries: 0,
    timeout,
    fetch: createFetch(dispatcher),
    openTelemetry: false,
    // The SDK logs the contents of unreadable events, which are user data.
    logLevel: 'off',
  });
}

/** A `Response` can't have a higher status. Some proxies answer 999. */
const STATUS_MAX = 599;

/** The SDK serializes an error's JSON recursively. Deep JSON would overflow its stack and hide the status. */
async function flatError(response: UndiciResponse): Promise<UndiciResponse> {
  const { status, headers } = response;
  const text = await response.text().catch((error: Error) => error.message);
  return new UndiciResponse(isTooDeep(text) ? 'Its JSON is nested too deeply.' : text, { status, headers });
}

function isTooDeep(text: string): boolean {
  try {
    return isDeeperThan(JSON.parse(text), BLOCK_DEPTH_MAX);
  } catch {
    return false;
  }
}

/**
 * The SDK replaces a connection error and hides which time-out expired. A bare code on the error survives.
 * Redirect policy: a redirect fails the call, because the other address would get the API key and the conversation.
 */
function createFetch(dispatcher: Dispatcher): typeof fetch {
  const fetchOverAgent = async (url: string, init: object | undefined) => {
    try {
      const response = await undiciFetch(url, { ...init, dispatcher, redirect: 'manual' });
      const isError = response.status >= 400 && response.status <= STATUS_MAX;
      return isError ? await flatError(response) : response;
    } catch (error) {
      const code = codeOf(error);
      throw code === null ? error : Object.assign(new Error('Connection error', { cause: error }), { code });
    }
  };
  return fetchOverAgent as unknown as typeof fetch;
}

/**
 * Repeats a refused request once without its thinking blocks. A refusal is free, and no error text reliably names the reason.
 * After the first text nothing is repeated, because readers already have that text.
 */
async function streamWithRepair(
  caller: Caller,
  whole: ModelRequest,
  options: ModelCallOptions,
): Promise<ModelReply> {
  const request = caller.thoughts.withoutKnown(whole);
  let hasSpoken = false;
  const onText = (text: string) => {
    hasSpoken = true;
    options.onText(text);
  };
  try {
    return await streamOnce(caller, request, { ...options, onText });
  } catch (error) {
    if (hasSpoken || !isRequestRefused(error) || !hasPrivateBlocks(request)) throw error;
    const reply = await streamOnce(caller, caller.thoughts.withoutAll(request), options);
    caller.thoughts.remember(request);
    return reply;
  }
}

async function streamOnce(
  caller: Caller,
  request: ModelRequest,
  options: ModelCallOptions,
): Promise<ModelReply> {
  const call: Call = {
    caller,
    accumulator: createReplyAccumulator(),
    signal: options.signal,
    ended: new AbortController(),
  };
  const body = toMessagesJson(request);
  try {
    const response = await duringCall(call, () => open(call, request, body));
    return await readReply(call, response, options);
  } finally {
    // Closes the connection of a partly read response, also after `onText` has thrown.
    call.ended.abort();
  }
}

async function readReply(call: Call, response: Response, options: ModelCallOptions): Promise<ModelReply> {
  const { accumulator } = call;
  const events = readEvents(response);
  const silence = setTimeout(() => call.ended.abort(new Meaningless()), call.caller.meaningTimeoutMs);
  let stop: NodeJS.Timeout | undefined;
  try {
    while (!accumulator.isComplete()) {
      const next = await nextEvent(call, events);
      const before = { usage: accumulator.usage(), progress: accumulator.progress() };
      const text = understand(call, () => (next.done ? accumulator.end() : accumulator.add(next.value)));
      if (accumulator.usage() !== before.usage) options.onUsage(accumulator.usage());
      const isMore = accumulator.progress() !== before.progress;
      if (isMore) silence.refresh();
      if (text !== '') options.onText(text);
      if (accumulator.isAnswered()) stop ??= setTimeout(() => call.ended.abort(), call.caller.stopMs);
      // Some gateways send the stop reason before the content.
      if (isMore) stop?.refresh();
      if (next.done && !accumulator.isComplete())
        throw brokenStream(describeEnd(response.headers), contextOf(call));
    }
    await drain(events);
    return understand(call, () => accumulator.reply());
  } finally {
    clearTimeout(silence);
    clearTimeout(stop);
  }
}

/** Treats a connection error after the stop reason as the end. The reply is complete and paid for, so a retry has no reason. */
async function nextEvent(
  call: Call,
  events: AsyncGenerator<unknown, void>,
): Promise<IteratorResult<unknown, void>> {
  try {
    return await duringCall(call, () => events.next());
  } catch (error) {
    if (call.signal.aborted || !call.accumulator.isAnswered()) throw error;
    return { done: true, value: undefined };
  }
}

/** The abort reason of a response with nothing but pings. */
class Meaningless extends Error {}

/** Uses `post` because `messages.create` writes model warnings to the console. */
async function open({ caller, signal, ended }: Call, request: ModelRequest, body: string): Promise<Response> {
  const headers = {
    // With an explicit content type, the SDK sends the body string unchanged.
    'content-type': 'application/json',
    ...(request.temperature === null ? {} : { 'anthropic-version': SAMPLING_API_VERSION }),
  };
  const ends = AbortSignal.any([signal, ended.signal]);
  return await caller.client.post('/v1/messages', { body, headers, signal: ends, stream: true }).asResponse();
}

/** A response that isn't an event stream rarely comes from a model. The content type shows its origin. */
function describeEnd(headers: Headers): string {
  const type = headers.get('content-type') ?? 'no content-type';
  const kind = type.startsWith('text/event-stream')
    ? ''
    : ` (it was sent as ${type.slice(0, TYPE_CHARS_MAX)})`;
  return `it ended before the reply was whole${kind}`;
}

/** Runs an SDK call. An abort rejects with the signal's reason, every other error becomes a ModelCallError. */
async function duringCall<T>(call: Call, step: () => Promise<T>): Promise<T> {
  try {
    const result = await step();
    // The SDK ends an aborted stream like a finished stream.
    if (!call.signal.aborted) return result;
  } catch (error) {
    if (!call.signal.aborted) throw toFailure(error, call);
  }
  throw call.signal.reason;
}

function toFailure(error: unknown, call: Call): Error {
  const context = contextOf(call);
  if (call.ended.signal.reason instanceof Meaningless)
    return brokenStream(`it said nothing but pings for ${call.caller.meaningTimeoutMs} ms`, context);
  if (error instanceof SyntaxError) return brokenStream('an event is not JSON', context);
  return toModelCallError(error, context);
}

/**
 * A gateway that breaks the protocol or a bound would do so again, so the error is final. The same holds for a reply
 * that this code fails to parse.
 */
function understand<T>(call: Call, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw endlessReply(error as Error, contextOf(call));
  }
}

function contextOf({ caller, accumulator }: Call): FailureContext {
  return {
    secret: caller.secret,
    silenceTimeoutMs: caller.silenceTimeoutMs,
    usage: accumulator.usage(),
  };
}

/** Reads to the end of the body, so that the next call can reuse the connection. The reply is already complete. */
async function drain(events: AsyncIterator<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, DRAIN_MS);
  });
  const rest = readToEnd(events).catch(() => undefined);
  await Promise.race([rest, tooLong]);
  clearTimeout(timer);
}

async function readToEnd(events: AsyncIterator<unknown>): Promise<void> {
  while (!(await events.next()).done);
}
