// When a delivery is tried again, and when an endpoint is left alone or given up: pure decisions, no clock of their own.

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Between one try and the next, as Standard Webhooks suggests: ten tries within 75.6 hours. */
const WAITS_MS = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  ...[2, 5, 10, 14, 20, 24].map((hours) => hours * HOUR_MS),
];
export const TRIES_MAX = WAITS_MS.length + 1;
/** So much of a wait more or less: what failed together is not tried again together. */
const JITTER = 0.2;
/** A receiver may ask for a pause of at most this. */
const RETRY_AFTER_MAX_MS = DAY_MS;

/** Tries that the session makes, while its reader may still be waiting; the rest is the endpoint's. */
export const QUICK_TRIES = 2;

/** Failures in a row after which an endpoint is left alone for a while. */
const BREAKER_FAILURES = 5;
const PAUSE_MS = 30 * SECOND_MS;
/** Short beside the schedule: a receiver that is back is found within this. */
const PAUSE_MAX_MS = 5 * MINUTE_MS;

/** An endpoint that has answered nothing but failures for so long is switched off. */
const GIVEN_UP_AFTER_MS = 5 * DAY_MS;

/** How a try has ended. */
export type Ending =
  | { kind: 'delivered' }
  /** 410: the receiver wants nothing any more. */
  | { kind: 'gone' }
  /** @property retryAfterMs The pause that a busy receiver has asked for. */
  | { kind: 'failed'; retryAfterMs: number | null };

const BUSY = [429, 503];

/** @returns the pause that a `Retry-After` asks for: whole seconds or a date; null when it says nothing of use. */
export function retryAfterOf(header: string | string[] | undefined, nowMs: number): number | null {
  const text = (Array.isArray(header) ? header[0] : header)?.trim() ?? '';
  if (/^\d+$/.test(text)) return Number(text) * SECOND_MS;
  const atMs = /[a-z]/i.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(atMs) ? null : Math.max(atMs - nowMs, 0);
}

export function endingOf(
  { statusCode, retryAfter }: { statusCode: number; retryAfter: string | string[] | undefined },
  nowMs: number,
): Ending {
  if (statusCode >= 200 && statusCode < 300) return { kind: 'delivered' };
  if (statusCode === 410) return { kind: 'gone' };
  return { kind: 'failed', retryAfterMs: BUSY.includes(statusCode) ? retryAfterOf(retryAfter, nowMs) : null };
}

/**
 * @param tries Made so far. @param random In [0, 1).
 * @returns when the next try is due; null when there is none any more.
 */
export function nextTryAt(
  { tries, retryAfterMs }: { tries: number; retryAfterMs: number | null },
  nowMs: number,
  random: number,
): number | null {
  const wait = tries < TRIES_MAX ? WAITS_MS[tries - 1] : undefined;
  if (wait === undefined) return null;
  const jittered = wait * (1 + JITTER * (2 * random - 1));
  // Never before the pause is over, however the dice fall.
  return nowMs + Math.round(Math.max(jittered, Math.min(retryAfterMs ?? 0, RETRY_AFTER_MAX_MS)));
}

/** What is remembered of an endpoint between two successes. */
export interface Trouble {
  failures: number;
  failingSince: number | null;
  /** The endpoint is left alone until then. */
  openUntil: number | null;
}

export const NO_TROUBLE: Trouble = { failures: 0, failingSince: null, openUntil: null };

/** After one more failure. The pause doubles with each probe that fails. */
export function afterFailure(before: Trouble, nowMs: number): Trouble {
  const { failures, failingSince, openUntil } = before;
  // It was on its way when the pause began: one receiver that restarts under load is no row of probes.
  if (openUntil !== null && openUntil > nowMs) return before;
  const inRow = failures + 1;
  const doublings = Math.max(inRow - BREAKER_FAILURES, 0);
  const pauseMs = Math.min(PAUSE_MS * 2 ** doublings, PAUSE_MAX_MS);
  return {
    failures: inRow,
    failingSince: failingSince ?? nowMs,
    openUntil: inRow >= BREAKER_FAILURES ? nowMs + pauseMs : null,
  };
}

export const isGivenUp = ({ failingSince }: Trouble, nowMs: number): boolean =>
  failingSince !== null && nowMs - failingSince >= GIVEN_UP_AFTER_MS;
