// Counts that all processes share, in fixed windows that begin with the first call.
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { type CountTogether, RATE_WINDOW_SECONDS } from '../http/rate-limit.ts';
import type { RedisConnection } from './connection.ts';

export function createSharedCounter(redis: RedisConnection): CountTogether {
  const limiter = new RateLimiterRedis({
    storeClient: redis.commands,
    keyPrefix: 'openclaw:calls',
    // It only counts; what is too many is decided by who asks.
    points: Number.MAX_SAFE_INTEGER,
    duration: RATE_WINDOW_SECONDS,
  });
  return async (bucket) => {
    if (!redis.isLive()) return undefined;
    const counted = await redis.ask(limiter.consume(bucket));
    return counted && { used: counted.consumedPoints, windowLeftMs: counted.msBeforeNext };
  };
}
