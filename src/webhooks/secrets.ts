// Webhook secrets at rest: AES-256-GCM with a separate key. Each secret is bound to its webhook.
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';

/** Format version, so that another format can follow. */
const MARK = 'v1.';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** The Standard Webhooks prefix of a symmetric secret. */
const NEW_SECRET_MARK = 'whsec_';
const NEW_SECRET_BYTES = 32;

export type SecretBox = ReturnType<typeof createSecretBox>;

/** For clients that provide no secret. */
export const newWebhookSecret = (): string =>
  NEW_SECRET_MARK + randomBytes(NEW_SECRET_BYTES).toString('base64');

/** @param secretKey The secret shared by all processes of an installation. */
export function createSecretBox(secretKey: string) {
  const key = createHmac('sha256', secretKey).update('openclaw webhook secrets 1').digest();

  return {
    seal(webhookId: string, secret: string): string {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
      // A sealed secret copied to another webhook's row can't be opened.
      cipher.setAAD(Buffer.from(webhookId));
      const text = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
      return MARK + Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64url');
    },

    /** @throws when the secret was sealed for another webhook or with another key. */
    open(webhookId: string, sealed: string): string {
      const bytes = Buffer.from(sealed.slice(MARK.length), 'base64url');
      const nonce = bytes.subarray(0, NONCE_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(webhookId));
      decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      const text = [decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()];
      return Buffer.concat(text).toString('utf8');
    },
  };
}
