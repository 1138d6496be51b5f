// Sends one delivery once: claims its row, signs and posts the stored bytes, records the outcome.
import type { Logger } from 'pino';
import type { PostAnswer, Poster } from '../egress/post.ts';
import { randomText } from '../ids.ts';
import type { DeliveryQueue } from '../stores/delivery-queue.ts';
import type {
  DeliveryPatch,
  DeliveryRow,
  StoredAttempt,
  WebhookPatch,
  WebhookRow,
} from '../stores/schema.ts';
import { afterFailure, type Ending, endingOf, isGivenUp, nextTryAt, QUICK_TRIES } from './schedule.ts';
import type { SecretBox } from './secrets.ts';
import { type Secrets, signatureHeaders } from './signing.ts';

/** Longer than any attempt. After this time the sender is dead, and another sender may take over. */
const LEASE_MS = 20_000;
const USER_AGENT = 'OpenClaw-Webhooks';

/** The outcome of a delivery. `elsewhere` means that it must not be sent, or that another sender has it. */
export type Sent =
  | { kind: 'delivered' | 'failed' | 'cancelled' | 'elsewhere' }
  /** To be retried at this time by this owner. */
  | { kind: 'retry'; owner: 'session' | 'endpoint'; nextAttemptAt: number };

/** A test belongs to no session. A client waits for the outcome, so a test is sent only once. */
const isTest = ({ session_id }: DeliveryRow): boolean => session_id === null;

export interface SenderDeps {
  queue: DeliveryQueue;
  poster: Pick<Poster, 'post'>;
  secrets: Pick<SecretBox, 'open'>;
  /** Names this process in leases. Must be unique per process. */
  sender: string;
  logger: Logger;
  now: () => number;
  /** In [0, 1). */
  random?: () => number;
}

export type Sender = ReturnType<typeof createSender>;

/** An announced secret replaces the current secret at its activation time. */
function secretsOf(row: WebhookRow, { open }: Pick<SecretBox, 'open'>, now: number): Secrets {
  const next = row.next_secret === null ? null : open(row.id, row.next_secret);
  if (next !== null && (row.next_secret_at ?? 0) <= now) return { current: next, next: null };
  return { current: open(row.id, row.secret), next };
}

interface Tried {
  attempt: StoredAttempt;
  ending: Ending;
}

const WHY_GONE = 'The endpoint has answered 410: it wants nothing any more';
const whyGivenUp = (since: number): string => `Every try since ${new Date(since).toISOString()} has failed`;

/** The endpoint's state after one more failure. The row already counts this failure. */
function judged(webhook: WebhookRow, { kind }: Ending, now: number): WebhookPatch {
  // Subtracts this failure, because `afterFailure` counts it too.
  const before = {
    failures: webhook.failures_in_row - 1,
    failingSince: webhook.failing_since,
    openUntil: webhook.open_until,
  };
  const trouble = afterFailure(before, now);
  const reason =
    kind === 'gone' ? WHY_GONE : isGivenUp(trouble, now) ? whyGivenUp(webhook.failing_since ?? now) : null;
  if (reason === null) return { open_until: trouble.openUntil, failures_in_row: trouble.failures };
  return { open_until: null, status: 'disabled', disabled_reason: reason, updated_at: now };
}

export function createSender(deps: SenderDeps) {
  const { queue, poster, secrets, sender, logger, now, random = Math.random } = deps;

  function requestOf(webhook: WebhookRow, { event_id, body }: DeliveryRow) {
    const at = now();
    const signed = signatureHeaders({ eventId: event_id, body, atMs: at }, secretsOf(webhook, secrets, at));
    const headers = { 'content-type': 'application/json', 'user-agent': USER_AGENT, ...signed };
    return { url: webhook.url, headers, body };
  }

  async function tryOnce(webhook: WebhookRow, row: DeliveryRow): Promise<Tried> {
    const [at, startedMs] = [now(), performance.now()];
    const attempt = (status_code: number | null, error: string | null): StoredAttempt => ({
      ...{ at, status_code, error, duration_ms: Math.round(performance.now() - startedMs) },
    });
    let answer: PostAnswer;
    try {
      answer = await poster.post(requestOf(webhook, row));
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      return { attempt: attempt(null, words), ending: { kind: 'failed', retryAfterMs: null } };
    }
    const { statusCode, headers } = answer;
    const ending = endingOf({ statusCode, retryAfter: headers['retry-after'] }, now());
    const error = ending.kind === 'delivered' ? null : `The endpoint answered ${statusCode}`;
    return { attempt: attempt(statusCode, error), ending };
  }

  /** The row's state after a failure. */
  function failed(row: DeliveryRow, ending: Ending): { sent: Sent; patch: DeliveryPatch } {
    const tries = row.attempt_count + 1;
    const retryAfterMs = ending.kind === 'failed' ? ending.retryAfterMs : null;
    const next =
      isTest(row) || ending.kind === 'gone' ? null : nextTryAt({ tries, retryAfterMs }, now(), random());
    if (next === null)
      return {
        sent: { kind: 'failed' },
        patch: { status: 'failed', next_attempt_at: null, completed_at: now() },
      };
    // A session doesn't wait through a requested pause.
    const owner = tries >= QUICK_TRIES || retryAfterMs !== null ? 'endpoint' : row.owner;
    return { sent: { kind: 'retry', owner, nextAttemptAt: next }, patch: { owner, next_attempt_at: next } };
  }

  async function recordFailure(row: DeliveryRow, { attempt, ending }: Tried): Promise<Sent> {
    const { sent, patch } = failed(row, ending);
    const webhook = await queue.recordFailure(row, { attempt, patch }, (counted) =>
      judged(counted, ending, now()),
    );
    if (!webhook) return { kind: 'elsewhere' };
    if (webhook.status === 'enabled') return sent;
    const { id, account_id, disabled_reason } = webhook;
    logger.warn({ webhookId: id, accountId: account_id, reason: disabled_reason }, 'A webhook was disabled');
    return sent.kind === 'failed' ? sent : { kind: 'cancelled' };
  }

  async function recordSuccess(row: DeliveryRow, { attempt }: Tried): Promise<Sent> {
    const patch = { status: 'delivered', next_attempt_at: null, completed_at: now() } as const;
    const isOurs = await queue.recordSuccess(row, { attempt, patch });
    return { kind: isOurs ? 'delivered' : 'elsewhere' };
  }

  /**
   * Makes one attempt of a delivery. Delivery is at least once: if a sender dies after the receiver's response, the
   * next sender repeats the same bytes.
   */
  return async function sendDelivery(id: string): Promise<Sent> {
    const lease = { by: `${sender}/${randomText(8)}`, untilMs: now() + LEASE_MS };
    const row = await queue.claim(id, lease);
    if (!row) return { kind: 'elsewhere' };
    const webhook = await queue.webhook(row.webhook_id);
    if (!webhook || (webhook.status === 'disabled' && !isTest(row))) {
      await queue.cancel(id);
      return { kind: 'cancelled' };
    }
    const tried = await tryOnce(webhook, row);
    return tried.ending.kind === 'delivered' ? recordSuccess(row, tried) : recordFailure(row, tried);
  };
}
