// API keys and their levels.
import { z } from 'zod';
import { Timestamp } from './common.ts';

export const LEVELS = ['read-only', 'standard', 'admin'] as const;
export const Level = z.enum(LEVELS);
export type Level = z.infer<typeof Level>;

/** Each level includes the rights of all levels before it. */
export const levelAllows = (have: Level, need: Level): boolean =>
  LEVELS.indexOf(have) >= LEVELS.indexOf(need);

export const CreateApiKey = z
  .strictObject({ name: z.string().min(1).max(100), level: Level })
  .meta({ id: 'CreateApiKey' });
export type CreateApiKey = z.infer<typeof CreateApiKey>;

export const ApiKey = z
  .object({
    id: z.string(),
    name: z.string(),
    level: Level,
    prefix: z.string(),
    created_at: Timestamp,
    expires_at: Timestamp.nullable(),
    last_used_at: Timestamp.nullable(),
    revoked_at: Timestamp.nullable(),
  })
  .meta({ id: 'ApiKey' });
export type ApiKey = z.infer<typeof ApiKey>;

/** `key` is shown once, in the response that creates the key. */
export const CreatedApiKey = ApiKey.extend({ key: z.string().nullable() }).meta({ id: 'CreatedApiKey' });
export type CreatedApiKey = z.infer<typeof CreatedApiKey>;
