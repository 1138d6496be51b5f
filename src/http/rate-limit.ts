// Counts calls in fixed windows of a minute: by key when the key is valid, else by address.
import type { Response } from 'express';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { ApiError } from '../contracts/errors.ts';

const WINDOW_SECONDS = 60;

export interface RateWindow {
  limit: number;
  remaining: number;
  /** Unix seconds at which the window is over. */
  resetSeconds: number;
  exceeded: boolean;
}

export type CountCall = (bucket: string) => Promise<RateWindow>;

export function createRateLimit(limit: number): CountCall {
  const limiter = new RateLimiterMemory({ points: limit, duration: WINDOW_SECONDS });
  return async (bucket) => {
    const result = await limiter.consume(bucket).catch((refused: unknown) => {
      // The limiter rejects with the same kind of value when the window is used up.
      if (refused instanceof RateLimiterRes) return refused;
      throw refused;
    });
    return {
      limit,
      remaining: Math.max(0, limit - result.consumedPoints),
      resetSeconds: Math.ceil((Date.now() + result.msBeforeNext) / 1000),
      exceeded: result.consumedPoints > limit,
    };
  };
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
  const message = `More than ${window.limit} calls in ${WINDOW_SECONDS} seconds; retry in ${retryAfterSeconds} s`;
  throw new ApiError('rate_limited', message, { retryAfterSeconds });
}
