// Schemas shared by several resources: times, lists, pages, usage, metadata.
import { z } from 'zod';

/** RFC 3339 in UTC, ending in `Z`. */
export const Timestamp = z.string().meta({ format: 'date-time' });

export const toTimestamp = (ms: number): string => new Date(ms).toISOString();
export const toTimestampOrNull = (ms: number | null): string | null => (ms === null ? null : toTimestamp(ms));

/** Paging parameters arrive as text. Only whole numbers from 1 to 100 are accepted. */
const limit = z
  .string()
  .regex(/^\d{1,4}$/, 'must be a whole number from 1 to 100')
  .transform(Number)
  .pipe(z.number().min(1).max(100));

export const PageQuery = z.strictObject({
  limit: limit.optional(),
  cursor: z.string().max(2_000).optional(),
  order: z.enum(['asc', 'desc']).optional(),
});
export type PageQuery = z.infer<typeof PageQuery>;

export const PAGE_LIMIT_DEFAULT = 20;

export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ data: z.array(item), has_more: z.boolean(), next_cursor: z.string().nullable() });

export interface Page<T> {
  data: T[];
  has_more: boolean;
  next_cursor: string | null;
}

export const Deleted = z.object({ id: z.string(), deleted: z.literal(true) }).meta({ id: 'Deleted' });
export type Deleted = z.infer<typeof Deleted>;

export const deleted = (id: string): Deleted => ({ id, deleted: true });

/** Tokens of all model calls, failed attempts included. `cost_usd` is a decimal string in USD. */
export const Usage = z
  .object({
    input_tokens: z.number().int(),
    output_tokens: z.number().int(),
    cache_creation_input_tokens: z.number().int(),
    cache_read_input_tokens: z.number().int(),
    total_tokens: z.number().int(),
    cost_usd: z.string(),
  })
  .meta({ id: 'Usage' });
export type Usage = z.infer<typeof Usage>;

export const METADATA_KEYS_MAX = 50;
/** Names a careless consumer could resolve to an object's prototype. */
export const FORBIDDEN_KEYS: readonly string[] = ['__proto__', 'prototype', 'constructor'];

export const MetadataKey = z
  .string()
  .min(1)
  .max(64)
  .refine((key) => !FORBIDDEN_KEYS.includes(key), { message: 'is a reserved name' });
export const MetadataValue = z.string().max(512);

export const Metadata = z
  .record(MetadataKey, MetadataValue)
  .refine((value) => Object.keys(value).length <= METADATA_KEYS_MAX, {
    message: `must have at most ${METADATA_KEYS_MAX} keys`,
  });

/** A merge patch: null deletes a key. */
export const MetadataPatch = z.record(MetadataKey, MetadataValue.nullable());
