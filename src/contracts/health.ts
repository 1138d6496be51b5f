// Liveness and readiness probes.
import { z } from 'zod';

const Check = z.object({ status: z.enum(['ok', 'failed']), error: z.string().nullable() });
export type Check = z.infer<typeof Check>;

export const Health = z.object({ status: z.literal('ok') }).meta({ id: 'Health' });
export const Readiness = z
  .object({
    status: z.enum(['ok', 'failed']),
    checks: z.object({ temporal: Check, store: Check, workers: Check }),
  })
  .meta({ id: 'Readiness' });
export type Readiness = z.infer<typeof Readiness>;
