// Client tokens: credentials for browsers and devices, limited to some sessions and some minutes.
import { z } from 'zod';
import { Timestamp } from './common.ts';

export const CLIENT_SCOPES = ['read', 'send', 'tool_results'] as const;
export const ClientScope = z.enum(CLIENT_SCOPES);
export type ClientScope = z.infer<typeof ClientScope>;

export const CLIENT_TOKEN_SECONDS_MAX = 900;

const distinct = (values: readonly string[]): boolean => new Set(values).size === values.length;

export const CreateClientToken = z
  .strictObject({
    session_ids: z
      .array(z.string().min(1).max(100))
      .min(1)
      .max(20)
      .refine(distinct, 'must not name a session twice')
      .meta({ uniqueItems: true }),
    scopes: z
      .array(ClientScope)
      .min(1)
      .max(CLIENT_SCOPES.length)
      .refine(distinct, 'must not name a scope twice')
      .meta({ uniqueItems: true }),
    expires_in_seconds: z.int().min(1).max(CLIENT_TOKEN_SECONDS_MAX).default(300),
  })
  .meta({ id: 'CreateClientToken' });
export type CreateClientToken = z.infer<typeof CreateClientToken>;

export const ClientToken = z
  .object({ token: z.string().nullable(), expires_at: Timestamp })
  .meta({ id: 'ClientToken' });
export type ClientToken = z.infer<typeof ClientToken>;
