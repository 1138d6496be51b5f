// The signatures of a webhook's request: the guide's own header, and those of Standard Webhooks beside it.
import { createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';

/** What an endpoint's requests are signed with. */
export interface Secrets {
  current: string;
  /** Announced and not yet in force: receivers may know either. */
  next: string | null;
}

export interface Signed {
  eventId: string;
  /** The bytes that are sent. */
  body: string;
  /** Of this try, in milliseconds; the event's own time is in the body. */
  atMs: number;
}

const STANDARD_MARK = 'whsec_';

/** Of `whsec_` and base64 the bytes that it stands for; of any other secret its own UTF-8. */
function standardWebhook(secret: string): Webhook {
  if (secret.startsWith(STANDARD_MARK)) {
    try {
      return new Webhook(secret);
    } catch {
      // Not base64 after all: then it is a secret like any other.
    }
  }
  return new Webhook(Buffer.from(secret, 'utf8'), { format: 'raw' });
}

/** Lowercase hex of the body's HMAC and nothing else, as the guide's receivers compare it. */
const plainSignature = (secret: string, body: string): string =>
  createHmac('sha256', secret).update(body, 'utf8').digest('hex');

/** `x-openclaw-signature` can name one secret only: the old one, until the new one is in force. */
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
