// The model catalogue as clients see it.
import { z } from 'zod';

export const ModelEntry = z
  .object({
    id: z.string(),
    resolves_to: z.string(),
    context_tokens: z.number().int(),
    max_output_tokens: z.number().int(),
    prices: z.object({
      input_usd_per_mtok: z.string(),
      output_usd_per_mtok: z.string(),
      cache_write_usd_per_mtok: z.string(),
      cache_read_usd_per_mtok: z.string(),
    }),
    deprecated: z.boolean(),
  })
  .meta({ id: 'Model' });
export type ModelEntry = z.infer<typeof ModelEntry>;
