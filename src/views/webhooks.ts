// Webhook and delivery rows as the API shows them, always without secrets.
import { toTimestamp, toTimestampOrNull } from '../contracts/common.ts';
import type { Delivery, Webhook } from '../contracts/webhooks.ts';
import type { DeliveryRow, StoredAttempt, WebhookRow } from '../stores/schema.ts';

export const webhookView = (row: WebhookRow): Webhook => ({
  id: row.id,
  url: row.url,
  events: JSON.parse(row.events),
  description: row.description,
  filter: row.filter === null ? null : JSON.parse(row.filter),
  status: row.status,
  disabled_reason: row.disabled_reason,
  created_at: toTimestamp(row.created_at),
});

const attemptsOf = ({ attempts }: DeliveryRow): Delivery['attempts'] =>
  (JSON.parse(attempts) as StoredAttempt[]).map(({ at, status_code, duration_ms, error }) => ({
    at: toTimestamp(at),
    status_code,
    duration_ms,
    error,
  }));

export const deliveryView = (row: DeliveryRow): Delivery => ({
  id: row.id,
  webhook_id: row.webhook_id,
  event_id: row.event_id,
  event_type: row.event_type,
  status: row.status,
  attempts: attemptsOf(row),
  next_attempt_at: toTimestampOrNull(row.next_attempt_at),
  body: row.body === '' ? null : row.body,
});
