// The signature headers of a webhook request: the guide's own header, and those of Standard Webhooks.
import { createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';

/** The secrets that sign an endpoint's requests. */
export interface Secrets {
  current: string;
  /** Announced but not yet in force. Receivers may know either secret. */
  next: string | null;
}

export interface Signed {
  eventId: string;
  /** The bytes to send. */
  body: string;
  /** The time of this attempt, in milliseconds. The body holds the event's own time. */
  atMs: number;
}

const STANDARD_MARK = 'whsec_';

/** Decodes a `whsec_` secret from base64. Any other secret is used as UTF-8. */
function standardWebhook(secret: string): Webhook {
  if (secret.startsWith(STANDARD_MARK)) {
    try {
      return new Webhook(secret);
    } catch {
      // Invalid base64: the secret is used as UTF-8 like any other.
    }
  }
  return new Webhook(Buffer.from(secret, 'utf8'), { format: 'raw' });
}

/** Lowercase hex of the body's HMAC only, as the guide's receivers compare it. */
const plainSignature = (secret: string, body: string): string =>
  createHmac('sha256', secret).update(body, 'utf8').digest('hex');

/** `x-openclaw-signature` uses one secret: the old secret until the new secret is in force. */
export function signatureHeaders(
  { eventId, body, atMs }: Signed,
  { current, next }: Secrets,
): Record<string, string> {
  const at = new Date(atMs);
  const known = next === null ? [current] : [current, next];
  return {
    'x-openclaw-signature': plainSignature(current, body),
    'webhook-id': eventId,
    'webhook-timestamp': String(Math.floor(atMs / 1_000)),
    'webhook-signature': known.map((secret) => standardWebhook(secret).sign(eventId, at, body)).join(' '),
  };
}
