// Classifies error responses. Structured names and the status decide. Message text counts only if both are inconclusive.

import type { APIError } from '@anthropic-ai/sdk';
import { isNumber, toDouble } from '../contracts/json.ts';
import type { ModelErrorCode } from './port.ts';
import { cleanName } from './safe-text.ts';
import { isRecord } from './tool-input.ts';

export interface Refusal {
  /** The response's status, or else the status in its body. Null if neither exists. */
  status: number | null;
  /** The names of the failure in the structure, as providers spell them: `ThrottlingException`, `budget_exceeded`. */
  names: string[];
  words: string;
  /** The provider says when to retry. */
  passes: boolean;
}

export interface Verdict {
  code: ModelErrorCode;
  retryable: boolean;
  /** The provider refuses the account, not the request. */
  isAccount?: true;
}

/** An `error` event carries a type instead of a status. The API documents these pairs. */
const STATUS_OF_TYPE = new Map<string, number>([
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

const NAME_CHARS_MAX = 100;

/** Gateways send lists of errors and wrap the provider's error in their own. Returns the innermost error first. */
function layersOf(body: unknown): Record<string, unknown>[] {
  const first = (value: unknown): unknown => (Array.isArray(value) ? value[0] : value);
  const outer = first(body);
  if (!isRecord(outer)) return [];
  return [first(outer.error), first(outer.errors), outer].filter(isRecord);
}

/** The keys for the name in errors of AWS, Google, OpenAI and the API. */
const NAME_KEYS = ['type', '__type', 'code', 'status'];
const WORDS_KEYS = ['message', 'Message', 'detail', 'error'];

const isFilled = (value: unknown): value is string => typeof value === 'string' && value.trim() !== '';

/** AWS names the failure in a header: `ThrottlingException:http://...`. */
const headerName = (headers: Headers | undefined): string =>
  headers?.get('x-amzn-errortype')?.split(':')[0] ?? '';

const valuesOf = (layers: Record<string, unknown>[], keys: string[]): unknown[] =>
  layers.flatMap((layer) => keys.map((key) => layer[key]));

/** Every error has the type `error`, so the word is no name. Python gateways write `None`. */
const namesIn = (values: unknown[]): string[] =>
  values
    .filter(isFilled)
    .map((value) => cleanName(value, NAME_CHARS_MAX))
    .filter((name) => !/^(?:error|none|null|[\d.]*)$/i.test(name));

/** Statuses in the body, as numbers or as strings of digits. */
const statusesIn = (values: unknown[]): number[] =>
  values
    .map((value) => (isNumber(value) ? toDouble(value) : isFilled(value) ? Number(value) : Number.NaN))
    .filter((value) => Number.isInteger(value) && value >= 400 && value < 600);

export function readRefusal({ status, error, headers, message }: APIError): Refusal {
  const layers = layersOf(error);
  const values = valuesOf(layers, NAME_KEYS);
  const names = namesIn([...values, headerName(headers)]);
  const told = statusesIn(values);
  const ofType = names.map((name) => STATUS_OF_TYPE.get(name)).find((each) => each !== undefined);
  return {
    // Some gateways wrap the provider's 402 in a 500.
    status: told.includes(402) ? 402 : (status ?? told[0] ?? ofType ?? null),
    names,
    words: valuesOf(layers, WORDS_KEYS).find(isFilled) ?? message,
    passes: headers?.has('retry-after') === true || headers?.has('retry-after-ms') === true,
  };
}

/** Normalizes a provider's spelling: `creditBalance_too-LOW` becomes `credit balance too low`. */
const plain = (text: string): string =>
  text
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .replace(/[^a-zA-Z]+/g, ' ')
    .toLowerCase();

/**
 * The account with the provider can't be used: no credit, a spending limit, a disabled organization or key. Gateways use
 * their own statuses and spellings.
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

/** Clear enough to outweigh a status that blames the provider. */
const NO_CREDIT =
  /\bcredit balance\b|\binsufficient (?:quota|credits?|funds|balance)\b|\bbudget\b.{0,20}\bexceeded\b|\bexceeded budget\b/;

/** A rate limit passes by itself, but its message may mention quotas and billing too. */
const PASSES = /\bretry\b|\btry again\b|\brate limit\b|\bper (?:second|minute|hour|day)\b/;

/** Some providers answer every refusal with 400. */
const RATE_LIMITED =
  /\btoo many requests\b|\btoo many tokens per\b|\bwait before trying again\b|\bthrottl(?:ed|ing)\b|\brate (?:limit )?(?:is |was )?(?:exceeded|reached)\b/;

const CONTEXT_TOO_LONG =
  /(?:prompt|input|request) is too (?:long|large)|context (?:window|length|limit|budget|size)|maximum context|too many (?:input |prompt )?tokens|(?:input|prompt) tokens? (?:count|length|limit)?.{0,40}exceed/i;

/** Names that decide regardless of status and text. `rate_limit_error` and similar names only repeat the status. */
const MEANINGS: [RegExp, Verdict][] = [
  [
    /\bbilling\b|\bpayment required\b|\bbudget exceeded\b|\bexceeded current quota\b|\binsufficient (?:user )?(?:quota|credits?|funds|balance)\b|\b(?:credit|spend|spending|usage) (?:balance|limit)\b/,
    account(),
  ],
  [
    /\baccess denied\b|\bunrecognized client\b|\bexpired token\b|\binvalid signature\b|\binvalid api key\b|\baccount (?:disabled|suspended|deactivated)\b/,
    account(),
  ],
  [/\bcontext (?:length|window|size|limit)\b|\bprompt too long\b/, final('context_too_long')],
  [
    /\bthrottl|\btoo many requests\b|\brate limit(?:ed| exceeded| reached)\b|\bresource exhausted\b|\bmodel not ready\b|\bservice quota exceeded\b/,
    retry('model_overloaded'),
  ],
  [
    /\bservice unavailable\b|\binternal (?:server|failure)\b|\bmodel (?:error|timeout|stream error)\b|\bdeadline exceeded\b/,
    retry('model_unavailable'),
  ],
];

/** Matches a field at the start of the message, or a field path anywhere in it. */
const namesField = (fields: string): RegExp =>
  new RegExp(`^\\W*(?:${fields})\\b|\\b(?:${fields})(?:\\.[a-z0-9_]|\\[)`, 'i');

const SETTINGS = 'tools|system|thinking|max_tokens|temperature|input_schema|output_config|tool_choice';
const ABOUT_A_SETTING = namesField(SETTINGS);
const ABOUT_THE_REQUEST = new RegExp(`${namesField(`messages|${SETTINGS}`).source}|\\bsignature\\b`, 'i');

/** Proxies answer with whole pages. The relevant text is at the beginning. */
const JUDGED_CHARS_MAX = 2_000;

/** A retryable name does not count for a 413, because no retry makes the request smaller. */
function judgeNames({ status, names }: Refusal): Verdict | undefined {
  const known = names.map(plain);
  const [, verdict] = MEANINGS.find(([pattern]) => known.some((name) => pattern.test(name))) ?? [];
  return status === 413 && verdict?.retryable ? undefined : verdict;
}

function isAccountRefused(status: number | null, said: string, words: string, passes: boolean): boolean {
  if (status === 413 || ABOUT_THE_REQUEST.test(said)) return false;
  if (status === 429 || (status ?? 0) >= 500)
    return (
      !passes &&
      (NO_CREDIT.test(words) || (status === 429 && /\bbilling\b/.test(words))) &&
      !PASSES.test(words)
    );
  return ACCOUNT_REFUSED.some((pattern) => pattern.test(words));
}

const REFUSALS: readonly (number | null)[] = [400, 413, 422, null];

function judgeWords({ status, names, words, passes }: Refusal): Verdict | undefined {
  const said = words.slice(0, JUDGED_CHARS_MAX);
  const spelled = plain(`${names.join(' ')} ${said}`);
  const isRefusal = REFUSALS.includes(status);
  if (isRefusal && status !== 413 && !ABOUT_THE_REQUEST.test(said) && RATE_LIMITED.test(spelled))
    return retry('model_overloaded');
  if (isRefusal && CONTEXT_TOO_LONG.test(said) && !ABOUT_A_SETTING.test(said))
    return final('context_too_long');
  if (isAccountRefused(status, said, spelled, passes)) return account();
  return undefined;
}

function judgeStatus(status: number): Verdict {
  if (status === 402) return account();
  if (status === 429 || status === 529) return retry('model_overloaded');
  if (status === 408 || status === 409 || status >= 500) return retry('model_unavailable');
  if (status === 401 || status === 403) return final('model_authentication');
  return final('model_invalid_request');
}

/** A failure without any status counts as the provider's own. */
export function judge(refusal: Refusal): Verdict {
  if (refusal.status === 402) return account();
  return judgeNames(refusal) ?? judgeWords(refusal) ?? judgeStatus(refusal.status ?? 500);
}

function retry(code: ModelErrorCode): Verdict {
  return { code, retryable: true };
}

function final(code: ModelErrorCode): Verdict {
  return { code, retryable: false };
}

function account(): Verdict {
  return { ...final('model_authentication'), isAccount: true };
}
