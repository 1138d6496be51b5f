// Converts every failure of a model call to the one error type of the rest of the server.

import { APIConnectionError, APIError } from '@anthropic-ai/sdk';
import { ANSWER_UNBEARABLE } from './bounded-answers.ts';
import { ModelCallError, type ModelErrorCode, type ModelUsage } from './port.ts';
import { judge, readRefusal, type Verdict } from './refusals.ts';
import { cleanText } from './safe-text.ts';

/** A provider that asks for a longer wait counts as down for a waiting turn. */
const RETRY_AFTER_MS_MAX = 60 * 60 * 1000;

/** Proxies answer with whole HTML pages. People read error messages, and workflow histories store them. */
const MESSAGE_CHARS_MAX = 500;

/** Stands before the provider's text, because the session's user can't fix an account problem. */
const FOR_THE_OPERATOR =
  'The account with the model provider cannot be used, which its operator has to settle. ';

/** The facts about a failed call that its error needs. */
export interface FailureContext {
  /** The API key or null. No message may contain the key, because messages are stored and shown. */
  secret: string | null;
  usage: ModelUsage;
  silenceTimeoutMs: number;
}

/** @param error thrown by the SDK or the HTTP client during the request or while reading the stream. */
export function toModelCallError(error: unknown, context: FailureContext): ModelCallError {
  if (error instanceof APIError && !(error instanceof APIConnectionError)) return fromAnswer(error, context);
  return new ModelCallError(readable(describeLostConnection(error, context), context.secret), {
    code: 'model_unavailable',
    retryable: true,
    status: null,
    retryAfterMs: null,
    usage: context.usage,
  });
}

/** A stream that ended or became unreadable before the reply was complete. */
export function brokenStream(reason: string, context: FailureContext, cause?: Error): ModelCallError {
  return new ModelCallError(readable(`The model's stream broke: ${reason}`, context.secret), {
    code: 'model_unavailable',
    retryable: true,
    status: null,
    retryAfterMs: null,
    usage: context.usage,
    cause,
  });
}

/** Not retryable. The provider would exceed the bound again, and each attempt would add as much text to the log. */
export function endlessReply(cause: Error, context: FailureContext): ModelCallError {
  return new ModelCallError(`The model's answer can't be used: ${cause.message}`, {
    code: 'model_unavailable',
    retryable: false,
    status: null,
    retryAfterMs: null,
    usage: context.usage,
    cause,
  });
}

const REFUSAL_STATUSES: readonly number[] = [400, 413, 422];

/** For `error` events inside a stream, which have no status. */
const REFUSAL_CODES: readonly ModelErrorCode[] = ['model_invalid_request', 'context_too_long'];

/** The provider is at fault, whatever the status. The request itself is valid. */
const PROVIDER_CODES: readonly ModelErrorCode[] = ['model_overloaded', 'model_unavailable'];

/**
 * True if the provider refused the contents of the request. A smaller request costs nothing and may succeed.
 * For example, newer models sign thinking together with everything before it. They refuse a conversation after a change of its
 * system prompt, tools or earlier messages.
 */
export const isRequestRefused = (error: unknown): error is ModelCallError =>
  error instanceof ModelCallError &&
  !PROVIDER_CODES.includes(error.code) &&
  (error.status === null ? REFUSAL_CODES.includes(error.code) : REFUSAL_STATUSES.includes(error.status));

/** @returns milliseconds from `retry-after-ms` or `retry-after` (seconds or HTTP date), 0 to one hour. Null if unusable. */
function retryAfterMs(headers: Headers, now: number): number | null {
  const milliseconds = toDelay(headers.get('retry-after-ms'), 1);
  if (milliseconds !== null) return milliseconds;
  const header = headers.get('retry-after');
  return toDelay(header, 1000) ?? untilDate(header, now);
}

/** Stands for the model's own origin. A relative location keeps this origin. */
const OWN_ORIGIN = 'http://own.invalid';

/** Shows only the origin, because paths and queries of login pages hold tokens. */
function redirectTarget(location: string): string {
  if (location === '') return 'no address';
  if (!URL.canParse(location, OWN_ORIGIN)) return 'an unreadable address';
  const { origin, host, protocol } = new URL(location, OWN_ORIGIN);
  if (origin === OWN_ORIGIN) return 'another path';
  if (!URL.canParse(location) && host !== '') return `//${host}`;
  return /^https?:$/.test(protocol) ? origin : `an address that begins with ${protocol}`;
}

/** A cache sends this status for conditional requests. OpenClaw sends none. */
const NOT_MODIFIED = 304;

function describeRedirect({ status, headers }: APIError): string {
  if (status === NOT_MODIFIED)
    return "304 (not modified), which isn't an answer of a model: check ANTHROPIC_BASE_URL.";
  const target = redirectTarget(headers?.get('location') ?? '');
  return `${status}, a redirect to ${target}. Redirects are not followed: set ANTHROPIC_BASE_URL to the final address.`;
}

/** The operator has to change the address. Another attempt would be redirected again. */
function redirected(error: APIError, context: FailureContext): ModelCallError {
  const message = `The model's address answered ${describeRedirect(error)}`;
  return new ModelCallError(readable(message, context.secret), {
    code: 'model_unavailable',
    retryable: false,
    status: error.status ?? null,
    retryAfterMs: null,
    usage: context.usage,
  });
}

function fromAnswer(error: APIError, context: FailureContext): ModelCallError {
  if (error.status !== undefined && error.status >= 300 && error.status < 400)
    return redirected(error, context);
  const refusal = readRefusal(error);
  // Redact before cutting: half a key at the cut would not be recognized.
  const said = readable(refusal.words, context.secret);
  const verdict = obeyHeader(judge({ ...refusal, words: said }), error.headers);
  const where = error.status === undefined ? 'in the middle of its stream' : String(error.status);
  const request = error.requestID ? ` (request ${error.requestID})` : '';
  const whose = verdict.isAccount ? FOR_THE_OPERATOR : '';
  const name = refusal.names[0] ?? 'error';
  const message = `${whose}The model answered ${where} ${name}: ${said.slice(0, MESSAGE_CHARS_MAX)}${request}`;
  return new ModelCallError(readable(message, context.secret), {
    code: verdict.code,
    retryable: verdict.retryable,
    status: error.status ?? null,
    retryAfterMs: error.headers ? retryAfterMs(error.headers, Date.now()) : null,
    usage: context.usage,
  });
}

/** The header overrides the verdict: the API knows best whether a retry can help. */
function obeyHeader(verdict: Verdict, headers: Headers | undefined): Verdict {
  const word = headers?.get('x-should-retry');
  if (word !== 'true' && word !== 'false') return verdict;
  return { ...verdict, retryable: word === 'true' };
}

function describeLostConnection(error: unknown, context: FailureContext): string {
  const code = codeOf(error);
  if (code === 'UND_ERR_BODY_TIMEOUT' || code === 'UND_ERR_HEADERS_TIMEOUT') {
    return `The model was silent for ${context.silenceTimeoutMs} ms.`;
  }
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'The model could not be reached in time.';
  const reason = readable(rootMessage(error), context.secret).slice(0, MESSAGE_CHARS_MAX);
  if (code === ANSWER_UNBEARABLE) return `The model was not listened to: ${reason}.`;
  return `The connection to the model failed: ${reason}${code ? ` (${code})` : ''}`;
}

/** @returns the first system or HTTP client code of an error and its causes, such as `ECONNREFUSED`. */
export function codeOf(error: unknown): string | null {
  for (const layer of causesOf(error)) {
    if ('code' in layer && typeof layer.code === 'string') return layer.code;
  }
  return null;
}

function rootMessage(error: unknown): string {
  const root = causesOf(error).findLast((layer) => 'message' in layer && layer.message !== '');
  return root !== undefined && 'message' in root ? String(root.message) : String(error);
}

/** HTTP clients wrap the socket's error in a few layers at most. */
function causesOf(error: unknown): object[] {
  const layers: object[] = [];
  let current = error;
  while (typeof current === 'object' && current !== null && layers.length < 5) {
    layers.push(current);
    current = 'cause' in current ? current.cause : null;
  }
  return layers;
}

/** Shorter keys (`none`, `test`) are parts of ordinary words. `max_tokens` must not read `ma[redacted]_tokens`. */
const SECRET_CHARS_MIN = 16;

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');

/** The key's base64 forms behind any prefix, such as the user name of basic authentication. */
function base64Forms(secret: string): string[] {
  return [0, 1, 2].flatMap((before) => {
    const base64 = Buffer.from(' '.repeat(before) + secret).toString('base64');
    // The characters at both ends also depend on neighbouring bytes.
    const own = base64.slice(before === 0 ? 0 : before + 1).replace(/.=+$/, '');
    return [own, own.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

/** The forms in which servers repeat a key: verbatim, in JSON, in a URL, or in an `authorization` header. */
const formsOf = (secret: string): string[] => [
  secret,
  JSON.stringify(secret).slice(1, -1),
  encodeURIComponent(secret),
  ...base64Forms(secret),
];

/** A provider's text may hold anything, while error messages go to rows, histories and terminals. */
function readable(message: string, secret: string | null): string {
  const text = cleanText(message);
  if (secret === null || secret.length < SECRET_CHARS_MIN) return text;
  // Host names are lower case, so a key inside a host name changes its case.
  return text.replace(new RegExp(formsOf(secret).map(escaped).join('|'), 'gi'), '[redacted]');
}

function toDelay(header: string | null, unitMs: number): number | null {
  if (header === null || !/^\s*\d+(\.\d+)?\s*$/.test(header)) return null;
  return Math.min(Math.ceil(Number(header) * unitMs), RETRY_AFTER_MS_MAX);
}

function untilDate(header: string | null, now: number): number | null {
  // Text without a letter is no HTTP date. Date.parse would read "-5" as a day in 2001.
  if (header === null || !/[a-z]/i.test(header)) return null;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.min(Math.max(at - now, 0), RETRY_AFTER_MS_MAX);
}
