// Counts shared by all processes, in fixed windows that begin with the first call.
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { type CountTogether, RATE_WINDOW_SECONDS } from '../http/rate-limit.ts';
import type { RedisConnection } from './connection.ts';

export function createSharedCounter(redis: RedisConnection): CountTogether {
  const limiter = new RateLimiterRedis({
    storeClient: redis.commands,
    keyPrefix: 'openclaw:calls',
    // The limiter only counts. The caller applies the limit.
    points: Number.MAX_SAFE_INTEGER,
    duration: RATE_WINDOW_SECONDS,
  });
  return async (bucket) => {
    if (!redis.isLive()) return undefined;
    const counted = await redis.ask(limiter.consume(bucket));
    return counted && { used: counted.consumedPoints, windowLeftMs: counted.msBeforeNext };
  };
}
