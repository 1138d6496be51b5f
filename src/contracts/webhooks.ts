// Webhooks: endpoints that receive events, and the deliveries to them.
import { z } from 'zod';
import { Metadata, Timestamp } from './common.ts';
import { WEBHOOK_EVENTS } from './events.ts';
import { Time } from './time.ts';

export const WEBHOOK_EVENTS_MAX = 50;
export const WEBHOOK_URL_LENGTH_MAX = 2_048;
export const WEBHOOK_DESCRIPTION_LENGTH_MAX = 500;
export const WEBHOOK_SECRET_LENGTH_MAX = 256;
/** Bytes in UTF-8. Stays below the JSON limits of common servers (Express: 100 KiB). */
export const WEBHOOK_BODY_BYTES_MAX = 64 * 1024;

/** Matches every webhook event, including events of later versions. */
export const EVERY_EVENT = '*';

const distinct = (values: readonly string[]): boolean => new Set(values).size === values.length;

/**
 * Checked further on use. Capital schemes are allowed without a regex flag, so that the OpenAPI document can show the pattern.
 */
const Url = z
  .string()
  .max(WEBHOOK_URL_LENGTH_MAX)
  .regex(/^[hH][tT][tT][pP][sS]?:\/\/[^/\s]\S*$/, 'must be an https URL')
  .meta({ format: 'uri' });

const Events = z
  .array(z.enum([...WEBHOOK_EVENTS, EVERY_EVENT]))
  .min(1)
  .max(WEBHOOK_EVENTS_MAX)
  .refine(distinct, 'must not name an event twice')
  .refine(
    (events) => events.length === 1 || !events.includes(EVERY_EVENT),
    `must have no other name beside '${EVERY_EVENT}'`,
  )
  .meta({ uniqueItems: true });

/** Both conditions must match. `metadata`: every given key has the given value. */
const Filter = z.strictObject({
  session_id: z.string().min(1).max(100).nullish(),
  metadata: Metadata.nullish(),
});
export type WebhookFilter = z.infer<typeof Filter>;

const Description = z.string().max(WEBHOOK_DESCRIPTION_LENGTH_MAX);
const Secret = z.string().min(1).max(WEBHOOK_SECRET_LENGTH_MAX);

export const WebhookStatus = z.enum(['enabled', 'disabled']);
export type WebhookStatus = z.infer<typeof WebhookStatus>;

export const CreateWebhook = z
  .strictObject({
    url: Url,
    events: Events,
    /** Generated if absent. */
    secret: Secret.nullish(),
    description: Description.nullish(),
    filter: Filter.nullish(),
  })
  .meta({ id: 'CreateWebhook' });
export type CreateWebhook = z.infer<typeof CreateWebhook>;

export const UpdateWebhook = z
  .strictObject({
    url: Url.optional(),
    events: Events.optional(),
    description: Description.nullish(),
    filter: Filter.nullish(),
    status: WebhookStatus.optional(),
  })
  .meta({ id: 'UpdateWebhook' });
export type UpdateWebhook = z.infer<typeof UpdateWebhook>;

export const Webhook = z
  .object({
    id: z.string(),
    url: z.string(),
    events: z.array(z.string()),
    description: z.string().nullable(),
    filter: z
      .object({
        session_id: z.string().nullable(),
        metadata: z.record(z.string(), z.string()).nullable(),
      })
      .nullable(),
    status: WebhookStatus,
    disabled_reason: z.string().nullable(),
    created_at: Timestamp,
  })
  .meta({ id: 'Webhook' });
export type Webhook = z.infer<typeof Webhook>;

/** `secret` is shown once, in the response to the call that sets it. */
export const WebhookWithSecret = Webhook.extend({ secret: z.string().nullable() }).meta({
  id: 'WebhookWithSecret',
});
export type WebhookWithSecret = z.infer<typeof WebhookWithSecret>;

export const RotateSecret = z
  .strictObject({
    /** Generated if absent. */
    secret: Secret.nullish(),
    /** Default: a day from now. A past time means now. */
    activate_at: Time.nullish(),
  })
  .meta({ id: 'RotateSecret' });
export type RotateSecret = z.infer<typeof RotateSecret>;

export const TestWebhook = z
  .strictObject({
    /** Default: the webhook's first event, or `message.completed` for `*`. */
    type: z.enum(WEBHOOK_EVENTS).nullish(),
  })
  .meta({ id: 'TestWebhook' });
export type TestWebhook = z.infer<typeof TestWebhook>;

export const ReplayDeliveries = z
  .strictObject({
    from: Time,
    /** Exclusive. */
    to: Time,
  })
  .meta({ id: 'ReplayDeliveries' });
export type ReplayDeliveries = z.infer<typeof ReplayDeliveries>;

/** The number of deliveries to send again. */
export const Replayed = z.object({ count: z.number().int() }).meta({ id: 'Replayed' });
export type Replayed = z.infer<typeof Replayed>;

export const DELIVERY_STATUSES = ['pending', 'delivered', 'failed', 'cancelled'] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

const DeliveryAttempt = z.object({
  at: Timestamp,
  status_code: z.number().int().nullable(),
  duration_ms: z.number().int(),
  error: z.string().nullable(),
});

/** One event for one webhook. */
export const Delivery = z
  .object({
    id: z.string(),
    webhook_id: z.string(),
    event_id: z.string(),
    event_type: z.string(),
    status: z.enum(DELIVERY_STATUSES),
    /** The latest attempts, oldest first. */
    attempts: z.array(DeliveryAttempt),
    next_attempt_at: Timestamp.nullable(),
    /** The exact text that is signed and sent. Null once the session was deleted. */
    body: z.string().nullable(),
  })
  .meta({ id: 'Delivery' });
export type Delivery = z.infer<typeof Delivery>;
