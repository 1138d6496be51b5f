// What went wrong at the model's end, as the one error type the rest of the server knows.

import { APIConnectionError, APIError } from '@anthropic-ai/sdk';
import { ANSWER_UNBEARABLE } from './bounded-answers.ts';
import { ModelCallError, type ModelErrorCode, type ModelUsage } from './port.ts';
import { cleanName, cleanText } from './safe-text.ts';

/** A provider that asks for more is down for good as far as a waiting turn is concerned. */
const RETRY_AFTER_MS_MAX = 60 * 60 * 1000;

/** Proxies answer whole HTML pages; an error message is read by people and kept in workflow histories. */
const MESSAGE_CHARS_MAX = 500;

/** An `error` event carries a type instead of a status; these are the API's documented pairs. */
const STATUS_OF_TYPE = new Map<string | null, number>([
  ['invalid_request_error', 400],
  ['authentication_error', 401],
  ['billing_error', 402],
  ['permission_error', 403],
  ['not_found_error', 404],
  ['request_too_large', 413],
  ['rate_limit_error', 429],
  ['api_error', 500],
  ['timeout_error', 504],
  ['overloaded_error', 529],
]);

/** Of an error's type in messages. */
const TYPE_CHARS_MAX = 100;

/**
 * The account with the provider can't be used: no credit, a spending limit, a disabled organization or key. Gateways say it
 * with their own statuses and spellings, so both type and message are read in lower case with single spaces.
 */
const ACCOUNT_REFUSED = [
  /\bbilling\b|\bpayment\b|\bpurchase (?:more )?credits?\b|\btop up\b|\bout of (?:credits?|funds)\b/,
  /\bcredits?\b.{0,40}\b(?:low|insufficient|exhausted|exceeded|depleted|expired|used up|run out|ran out|negative)\b/,
  /\b(?:insufficient|not enough|no|low|lack of|exceeded)(?: (?:remaining|available|account|api|your|current|more|free|prepaid))* (?:credits?|funds|balance|quota)\b/,
  /\b(?:usage|spend|spending|cost|budget) (?:limits?|caps?|quotas?)\b/,
  /(?<!thinking )\b(?:budget(?! tokens)|quota|spend|spending)\b.{0,20}\b(?:exceeded|exhausted|reached)\b/,
  /\b(?:exceed(?:s|ed)?|reached)\b.{0,40}(?<!thinking )\b(?:budget(?! tokens)|quota|spend|spending)\b/,
  /\b(?:organi[sz]ation|account|workspace|subscription|api key)\b.{0,40}\b(?:disabled|suspended|deactivated|expired|revoked|blocked|not valid|invalid|inactive)\b/,
  /\b(?:invalid|expired|missing|incorrect|unknown)\b.{0,10}\bapi key\b/,
];

/** A rate limit may speak of quotas, too, and passes by itself. These do not, unless they say when to ask again. */
const NO_CREDIT = /\bbilling\b|\bcredit balance\b|\binsufficient (?:quota|credits?|funds|balance)\b/;
const PASSES = /\bretry\b|\btry again\b|\brate limit\b|\bper (?:second|minute|hour|day)\b/;

/** The refusal names a place in the request, or a thought, so it is about the request. */
const ABOUT_THE_REQUEST =
  /^\s*["'`]?(?:messages|tools|system|thinking|max_tokens|input_schema)\b|\bsignature\b/i;

/** Words of a provider in one spelling: `creditBalance_too-LOW` reads `credit balance too low`. */
const plainWords = (text: string): string =>
  text
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .replace(/[^a-zA-Z]+/g, ' ')
    .toLowerCase();

/** Put before the provider's words: the user of a session can't mend this. */
const FOR_THE_OPERATOR =
  'The account with the model provider cannot be used, which its operator has to settle. ';

/** Proxies answer whole pages; what matters stands at their beginning. */
const JUDGED_CHARS_MAX = 2_000;

const CONTEXT_TOO_LONG =
  /(?:prompt|input|request) is too (?:long|large)|context (?:window|length|limit|budget|size)|maximum context|too many (?:input |prompt )?tokens|(?:input|prompt) tokens? (?:count|length|limit)?.{0,40}exceed/i;

/** What a failed call leaves behind besides its error. */
export interface FailureContext {
  /** The API key or null; it must reach no message, for messages are stored and shown. */
  secret: string | null;
  usage: ModelUsage;
  silenceTimeoutMs: number;
}

interface Verdict {
  code: ModelErrorCode;
  retryable: boolean;
  /** The provider refuses the account, not the request. */
  isAccount?: true;
}

/** @param error what the SDK or the HTTP client threw while the request was made or the stream was read. */
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

/** A stream that ended, or held something unreadable, before the reply was whole. */
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

/** A provider that does not stop would do so again, and each try would leave as much text in the log. */
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

/** For an `error` event inside a stream, which has no status. */
const REFUSAL_CODES: readonly ModelErrorCode[] = ['model_invalid_request', 'context_too_long'];

/**
 * Whether the provider refused what the request holds, in whatever words: asking again with less of it costs nothing and may
 * help. Newer models for instance sign their thoughts together with all that came before them, and refuse a conversation
 * whose system prompt, tools or earlier messages changed since.
 */
export const isRequestRefused = (error: unknown): error is ModelCallError =>
  error instanceof ModelCallError &&
  (error.status === null ? REFUSAL_CODES.includes(error.code) : REFUSAL_STATUSES.includes(error.status));

/**
 * @returns milliseconds from `retry-after-ms` or `retry-after` (seconds or HTTP date), 0 to one hour; null when
 * neither says anything usable.
 */
function retryAfterMs(headers: Headers, now: number): number | null {
  const milliseconds = toDelay(headers.get('retry-after-ms'), 1);
  if (milliseconds !== null) return milliseconds;
  const header = headers.get('retry-after');
  return toDelay(header, 1000) ?? untilDate(header, now);
}

/** Stands for the model's own origin, which a relative location keeps. */
const OWN_ORIGIN = 'http://own.invalid';

/** Only the origin: paths and queries of login pages hold tokens. */
function redirectTarget(location: string): string {
  if (location === '') return 'no address';
  if (!URL.canParse(location, OWN_ORIGIN)) return 'an unreadable address';
  const { origin, host, protocol } = new URL(location, OWN_ORIGIN);
  if (origin === OWN_ORIGIN) return 'another path';
  if (!URL.canParse(location) && host !== '') return `//${host}`;
  return /^https?:$/.test(protocol) ? origin : `an address that begins with ${protocol}`;
}

/** The operator has to change the address, so another try would be redirected again. */
function redirected(error: APIError, context: FailureContext): ModelCallError {
  const target = redirectTarget(error.headers?.get('location') ?? '');
  const message =
    `The model's address answered ${error.status}, a redirect to ${target}. ` +
    'Redirects are not followed: set ANTHROPIC_BASE_URL to the final address.';
  return new ModelCallError(readable(message, context.secret), {
    code: 'model_unavailable',
    retryable: false,
    status: error.status ?? null,
    retryAfterMs: null,
    usage: context.usage,
  });
}

function fromAnswer(error: APIError, context: FailureContext): ModelCallError {
  const type = nameOf(error.type);
  const status = error.status ?? STATUS_OF_TYPE.get(type) ?? 500;
  if (status >= 300 && status < 400) return redirected(error, context);
  // Before it is cut: of a key across the cut a half would be left that nothing recognizes.
  const said = readable(wordsOf(error), context.secret);
  const refusal = { status, type, said, passes: error.headers?.has('retry-after') === true };
  const verdict = obeyHeader(judge(refusal), error.headers);
  const where = error.status === undefined ? 'in the middle of its stream' : String(error.status);
  const request = error.requestID ? ` (request ${error.requestID})` : '';
  const whose = verdict.isAccount ? FOR_THE_OPERATOR : '';
  const message = `${whose}The model answered ${where} ${type ?? 'error'}: ${said.slice(0, MESSAGE_CHARS_MAX)}${request}`;
  return new ModelCallError(readable(message, context.secret), {
    code: verdict.code,
    retryable: verdict.retryable,
    status: error.status ?? null,
    retryAfterMs: error.headers ? retryAfterMs(error.headers, Date.now()) : null,
    usage: context.usage,
  });
}

/** Gateways put anything where the API has a text. */
const wordsOf = ({ apiMessage, message }: { apiMessage: unknown; message: string }): string =>
  typeof apiMessage === 'string' ? apiMessage : message;

const nameOf = (type: unknown): string | null =>
  typeof type === 'string' ? cleanName(type, TYPE_CHARS_MAX) : null;

interface Refusal {
  status: number;
  type: string | null;
  said: string;
  /** The provider says when to ask again. */
  passes: boolean;
}

function isAccountRefused({ status, type, said, passes }: Refusal): boolean {
  if (status === 402 || type === 'billing_error') return true;
  const words = plainWords(`${type ?? ''} ${said.slice(0, JUDGED_CHARS_MAX)}`);
  if (status === 429) return !passes && NO_CREDIT.test(words) && !PASSES.test(words);
  if (status === 413 || status >= 500 || ABOUT_THE_REQUEST.test(said)) return false;
  return ACCOUNT_REFUSED.some((pattern) => pattern.test(words));
}

function judge(refusal: Refusal): Verdict {
  const { status, type, said } = refusal;
  if ((status === 400 || status === 413) && CONTEXT_TOO_LONG.test(said)) return final('context_too_long');
  if (isAccountRefused(refusal)) return { ...final('model_authentication'), isAccount: true };
  if (status === 429 || status === 529 || type === 'overloaded_error') return retry('model_overloaded');
  if (status === 408 || status === 409 || status >= 500) return retry('model_unavailable');
  if (status === 401 || status === 403) return final('model_authentication');
  return final('model_invalid_request');
}

function retry(code: ModelErrorCode): Verdict {
  return { code, retryable: true };
}

function final(code: ModelErrorCode): Verdict {
  return { code, retryable: false };
}

/** The API knows better than its status whether another try can help. */
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

/** @returns the first system or HTTP client code among an error and its causes, such as `ECONNREFUSED`. */
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

/** HTTP clients wrap the socket's error, a handful of layers at most. */
function causesOf(error: unknown): object[] {
  const layers: object[] = [];
  let current = error;
  while (typeof current === 'object' && current !== null && layers.length < 5) {
    layers.push(current);
    current = 'cause' in current ? current.cause : null;
  }
  return layers;
}

/** Shorter keys (`none`, `test`) are parts of ordinary words: `max_tokens` must not read `ma[redacted]_tokens`. */
const SECRET_CHARS_MIN = 16;

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');

/** The key as base64 shows it behind any text, such as the user name of basic authentication. */
function base64Forms(secret: string): string[] {
  return [0, 1, 2].flatMap((before) => {
    const base64 = Buffer.from(' '.repeat(before) + secret).toString('base64');
    // The characters at both ends also depend on the neighbouring bytes.
    const own = base64.slice(before === 0 ? 0 : before + 1).replace(/.=+$/, '');
    return [own, own.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

/** A key as servers repeat it: verbatim, in JSON, in a URL, or in an `authorization` header. */
const formsOf = (secret: string): string[] => [
  secret,
  JSON.stringify(secret).slice(1, -1),
  encodeURIComponent(secret),
  ...base64Forms(secret),
];

/** A provider's text may hold anything. Ours goes into rows, histories and terminals. */
function readable(message: string, secret: string | null): string {
  const text = cleanText(message);
  if (secret === null || secret.length < SECRET_CHARS_MIN) return text;
  // Host names are lower case, so a key in one comes back in another case.
  return text.replace(new RegExp(formsOf(secret).map(escaped).join('|'), 'gi'), '[redacted]');
}

function toDelay(header: string | null, unitMs: number): number | null {
  if (header === null || !/^\s*\d+(\.\d+)?\s*$/.test(header)) return null;
  return Math.min(Math.ceil(Number(header) * unitMs), RETRY_AFTER_MS_MAX);
}

function untilDate(header: string | null, now: number): number | null {
  // Without a letter it is no HTTP date: Date.parse would take "-5" for a day in 2001.
  if (header === null || !/[a-z]/i.test(header)) return null;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.min(Math.max(at - now, 0), RETRY_AFTER_MS_MAX);
}
