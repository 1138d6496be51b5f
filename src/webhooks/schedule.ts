// When a delivery is retried, and when an endpoint is paused or disabled. Pure decisions without a clock of their own.

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Delays between attempts, as suggested by Standard Webhooks: ten attempts within 75.6 hours. */
const WAITS_MS = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  ...[2, 5, 10, 14, 20, 24].map((hours) => hours * HOUR_MS),
];
export const TRIES_MAX = WAITS_MS.length + 1;
/** Each delay varies by this fraction, so that deliveries that failed together aren't retried together. */
const JITTER = 0.2;
/** The longest pause that a receiver can request. */
const RETRY_AFTER_MAX_MS = DAY_MS;

/** Attempts made by the session, while its client may still be waiting. The endpoint makes the later attempts. */
export const QUICK_TRIES = 2;

/** Consecutive failures after which an endpoint is paused. */
const BREAKER_FAILURES = 5;
const PAUSE_MS = 30 * SECOND_MS;
/** Short compared with the schedule: a recovered receiver is found within this time. */
const PAUSE_MAX_MS = 5 * MINUTE_MS;

/** An endpoint is disabled after failing this long without a success. */
const GIVEN_UP_AFTER_MS = 5 * DAY_MS;

/** The outcome of an attempt. */
export type Ending =
  | { kind: 'delivered' }
  /** 410: the receiver wants no further events. */
  | { kind: 'gone' }
  /** @property retryAfterMs The pause requested by a busy receiver. */
  | { kind: 'failed'; retryAfterMs: number | null };

const BUSY = [429, 503];

/** @returns the pause requested by `Retry-After`, in whole seconds or as a date. Null for an unusable value. */
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
 * @param tries Attempts made so far. @param random In [0, 1).
 * @returns when the next attempt is due, or null after the last attempt.
 */
export function nextTryAt(
  { tries, retryAfterMs }: { tries: number; retryAfterMs: number | null },
  nowMs: number,
  random: number,
): number | null {
  const wait = tries < TRIES_MAX ? WAITS_MS[tries - 1] : undefined;
  if (wait === undefined) return null;
  const jittered = wait * (1 + JITTER * (2 * random - 1));
  // Jitter never shortens the requested pause.
  return nowMs + Math.round(Math.max(jittered, Math.min(retryAfterMs ?? 0, RETRY_AFTER_MAX_MS)));
}

/** An endpoint's failures since its last success. */
export interface Trouble {
  failures: number;
  failingSince: number | null;
  /** The endpoint is paused until then. */
  openUntil: number | null;
}

export const NO_TROUBLE: Trouble = { failures: 0, failingSince: null, openUntil: null };

/** The state after one more failure. The pause doubles with each failed probe. */
export function afterFailure(before: Trouble, nowMs: number): Trouble {
  const { failures, failingSince, openUntil } = before;
  // The attempt was in flight when the pause began. A receiver that restarts under load must not count as several failed probes.
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
