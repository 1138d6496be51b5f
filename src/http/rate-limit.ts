// Counts calls in fixed windows of a minute: by key, or by client network if the key is missing or invalid.
import type { Response } from 'express';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { ApiError } from '../contracts/errors.ts';
import type { Caller } from '../services/ports.ts';

export const RATE_WINDOW_SECONDS = 60;
const WINDOW_MS = RATE_WINDOW_SECONDS * 1_000;

/** A token's share of its key's limit, so that one browser can't use up the whole limit. */
const TOKEN_SHARE = 1 / 4;

export interface RateWindow {
  limit: number;
  remaining: number;
  /** End of the window in Unix seconds. */
  resetSeconds: number;
  exceeded: boolean;
}

/** @param share The part of the limit that the bucket may use, by default all of it. */
export type CountCall = (bucket: string, share?: number) => Promise<RateWindow>;

interface Count {
  /** Calls in this window, including this call. */
  used: number;
  windowLeftMs: number;
}

/** Counts together with other processes. Resolves to undefined, quickly, while shared counting is unavailable. */
export type CountTogether = (bucket: string) => Promise<Count | undefined>;

/** Counts the calls of this process alone. */
function createOwnCounts(limit: number): (bucket: string) => Promise<Count> {
  const limiter = new RateLimiterMemory({ points: limit, duration: RATE_WINDOW_SECONDS });
  return async (bucket) => {
    const { consumedPoints, msBeforeNext } = await limiter.consume(bucket).catch((refused: unknown) => {
      // The limiter also rejects with this type when the window is used up.
      if (refused instanceof RateLimiterRes) return refused;
      throw refused;
    });
    return { used: consumedPoints, windowLeftMs: msBeforeNext };
  };
}

const nobody: CountTogether = async () => undefined;

/**
 * Without shared counts this process counts by itself, starting at zero. Too many calls may pass, but none is refused wrongly.
 */
export function createRateLimit(whole: number, together = nobody): CountCall {
  const alone = createOwnCounts(whole);
  return async (bucket, share = 1) => {
    const limit = Math.max(1, Math.floor(whole * share));
    const { used, windowLeftMs } = (await together(bucket)) ?? (await alone(bucket));
    return {
      limit,
      remaining: Math.max(0, limit - used),
      // After the clock was set back, a window seems to last for hours but still ends in time.
      resetSeconds: Math.ceil((Date.now() + Math.min(windowLeftMs, WINDOW_MS)) / 1000),
      exceeded: used > limit,
    };
  };
}

/**
 * Counts a client token's call twice: for the token's share and for its key.
 * @returns the token's window, limited to the calls left for its key.
 */
export async function countCaller(count: CountCall, { keyId, grant }: Caller): Promise<RateWindow> {
  if (!grant) return count(`key:${keyId}`);
  const own = await count(`token:${grant.tokenId}`, TOKEN_SHARE);
  // A refused call of the token leaves its key's count unchanged.
  if (own.exceeded) return own;
  const ofKey = await count(`key:${keyId}`);
  if (ofKey.exceeded) return ofKey;
  const { remaining, resetSeconds } = ofKey;
  return remaining < own.remaining ? { ...own, remaining, resetSeconds } : own;
}

export function setRateHeaders(res: Response, window: RateWindow): void {
  res.set('X-RateLimit-Limit', String(window.limit));
  res.set('X-RateLimit-Remaining', String(window.remaining));
  res.set('X-RateLimit-Reset', String(window.resetSeconds));
}

/** @throws ApiError `rate_limited` */
export function refuseExceeded(window: RateWindow): void {
  if (!window.exceeded) return;
  const retryAfterSeconds = Math.max(1, window.resetSeconds - Math.floor(Date.now() / 1000));
  const message = `More than ${window.limit} calls in ${RATE_WINDOW_SECONDS} seconds; retry in ${retryAfterSeconds} s`;
  throw new ApiError('rate_limited', message, { retryAfterSeconds });
}
