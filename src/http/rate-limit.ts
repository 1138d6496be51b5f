// Counts calls in fixed windows of a minute: by key when the key is valid, else by address.
import type { Response } from 'express';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { ApiError } from '../contracts/errors.ts';
import type { Caller } from '../services/ports.ts';

export const RATE_WINDOW_SECONDS = 60;
const WINDOW_MS = RATE_WINDOW_SECONDS * 1_000;

/** Of its key's limit, so that one browser can't use up all of it. */
const TOKEN_SHARE = 1 / 4;

export interface RateWindow {
  limit: number;
  remaining: number;
  /** Unix seconds at which the window is over. */
  resetSeconds: number;
  exceeded: boolean;
}

/** @param share The part of the limit that the bucket may use; all of it by default. */
export type CountCall = (bucket: string, share?: number) => Promise<RateWindow>;

interface Count {
  /** Calls in this window, with this one. */
  used: number;
  windowLeftMs: number;
}

/** Counts together with other processes. Resolves undefined, soon, while that can't be done. */
export type CountTogether = (bucket: string) => Promise<Count | undefined>;

/** Of this process alone. */
function createOwnCounts(limit: number): (bucket: string) => Promise<Count> {
  const limiter = new RateLimiterMemory({ points: limit, duration: RATE_WINDOW_SECONDS });
  return async (bucket) => {
    const { consumedPoints, msBeforeNext } = await limiter.consume(bucket).catch((refused: unknown) => {
      // The limiter rejects with the same kind of value when the window is used up.
      if (refused instanceof RateLimiterRes) return refused;
      throw refused;
    });
    return { used: consumedPoints, windowLeftMs: msBeforeNext };
  };
}

const nobody: CountTogether = async () => undefined;

/** What can't be counted together is counted by this process, from nothing: it may let more pass, and refuses nobody wrongly. */
export function createRateLimit(whole: number, together = nobody): CountCall {
  const alone = createOwnCounts(whole);
  return async (bucket, share = 1) => {
    const limit = Math.max(1, Math.floor(whole * share));
    const { used, windowLeftMs } = (await together(bucket)) ?? (await alone(bucket));
    return {
      limit,
      remaining: Math.max(0, limit - used),
      // A clock that was set back makes a window seem to last for hours; it ends in time all the same.
      resetSeconds: Math.ceil((Date.now() + Math.min(windowLeftMs, WINDOW_MS)) / 1000),
      exceeded: used > limit,
    };
  };
}

/**
 * Counts a call with a client token twice: to the token's share and to its key.
 * @returns the token's window. A key that has fewer calls left bounds it.
 */
export async function countCaller(count: CountCall, { keyId, grant }: Caller): Promise<RateWindow> {
  if (!grant) return count(`key:${keyId}`);
  const own = await count(`token:${grant.tokenId}`, TOKEN_SHARE);
  // A refused call of the token takes nothing from its key.
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
