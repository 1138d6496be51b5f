// Creates and changes webhooks.
import { ApiError, notFound } from '../../contracts/errors.ts';
import { timeMs } from '../../contracts/time.ts';
import type {
  CreateWebhook,
  RotateSecret,
  UpdateWebhook,
  Webhook,
  WebhookFilter,
  WebhookWithSecret,
} from '../../contracts/webhooks.ts';
import { newId } from '../../ids.ts';
import type { WebhookPatch, WebhookRow } from '../../stores/schema.ts';
import type { SessionsStore } from '../../stores/sessions.ts';
import type { WebhooksStore } from '../../stores/webhooks.ts';
import { webhookView } from '../../views/webhooks.ts';
import { newWebhookSecret, type SecretBox } from '../../webhooks/secrets.ts';
import type { Keep, Resource } from '../idempotency.ts';
import type { Caller } from '../ports.ts';
import { visibleSession } from '../session-access.ts';
import { ownedBy, visibleWebhook } from './access.ts';
import { checkUrl, type UrlDeps } from './url.ts';

/** Each transaction that appends events reads all webhooks of the session's account. */
const WEBHOOKS_PER_ACCOUNT_MAX = 100;

export interface ChangeWebhookDeps extends UrlDeps {
  webhooks: WebhooksStore;
  sessions: SessionsStore;
  secrets: SecretBox;
  now: () => number;
}

const tooMany = () =>
  new ApiError(
    'invalid_request',
    `An account can have ${WEBHOOKS_PER_ACCOUNT_MAX} webhooks: delete one that is no longer needed`,
  );

/** The filter as stored in the row. Null if the filter matches everything. */
function storedFilter(filter: WebhookFilter | null | undefined): string | null {
  const { session_id = null, metadata = null } = filter ?? {};
  const filters = session_id !== null || Object.keys(metadata ?? {}).length > 0;
  return filters ? JSON.stringify({ session_id, metadata }) : null;
}

interface NewWebhook {
  id: string;
  accountId: string;
  url: string;
  sealedSecret: string;
  now: number;
}

const newRow = (body: CreateWebhook, { id, accountId, url, sealedSecret, now }: NewWebhook): WebhookRow => ({
  id,
  account_id: accountId,
  url,
  events: JSON.stringify(body.events),
  description: body.description ?? null,
  filter: storedFilter(body.filter),
  status: 'enabled',
  disabled_reason: null,
  secret: sealedSecret,
  next_secret: null,
  next_secret_at: null,
  failing_since: null,
  open_until: null,
  failures_in_row: 0,
  created_at: now,
  updated_at: now,
});

/** How long receivers have to learn the new secret. */
const OVERLAP_MS = 24 * 60 * 60 * 1_000;
const OVERLAP_MS_MAX = 365 * OVERLAP_MS;

function activationOf({ activate_at }: RotateSecret, now: number): number {
  if (activate_at == null) return now + OVERLAP_MS;
  const at = timeMs(activate_at);
  if (at <= now + OVERLAP_MS_MAX) return at;
  throw new ApiError('invalid_request', "The 'activate_at' field must be within a year", {
    param: 'activate_at',
  });
}

/** Resets the failure counts when the webhook is enabled again or its URL changes. */
const FORGIVEN: WebhookPatch = { failing_since: null, open_until: null, failures_in_row: 0 };

function patchOf(row: WebhookRow, body: UpdateWebhook, url: string | undefined, now: number): WebhookPatch {
  const { events, description, filter, status } = body;
  return {
    updated_at: now,
    ...(url !== undefined && url !== row.url && { url, ...FORGIVEN }),
    ...(events && { events: JSON.stringify(events) }),
    ...(description !== undefined && { description }),
    ...(filter !== undefined && { filter: storedFilter(filter) }),
    ...(status && status !== row.status && { status, disabled_reason: null, ...FORGIVEN }),
  };
}

export function createWebhookChanges({ webhooks, sessions, secrets, checkTarget, now }: ChangeWebhookDeps) {
  async function checkFilter(caller: Caller, filter: WebhookFilter | null | undefined): Promise<void> {
    if (filter?.session_id != null) await visibleSession(sessions, caller, filter.session_id);
  }

  async function update(
    caller: Caller,
    id: string,
    changeOf: (row: WebhookRow, at: number) => WebhookPatch,
    keep: Keep,
  ): Promise<Webhook> {
    const at = now();
    const row = await webhooks.updateWebhook(
      { ...ownedBy(caller, id), now: at },
      (current) => changeOf(current, at),
      (rows) => keep(rows),
    );
    if (!row) throw notFound('webhook');
    return webhookView(row);
  }

  return {
    async make(caller: Caller, body: CreateWebhook, keep: Keep<Resource>): Promise<WebhookWithSecret> {
      const url = await checkUrl(body.url, { checkTarget });
      await checkFilter(caller, body.filter);
      const id = newId('wh');
      const secret = body.secret ?? newWebhookSecret();
      const sealedSecret = secrets.seal(id, secret);
      const row = newRow(body, { id, accountId: caller.accountId, url, sealedSecret, now: now() });
      const inserted = await webhooks.insertWebhook(row, WEBHOOKS_PER_ACCOUNT_MAX, (rows) =>
        keep(rows, { id }),
      );
      if (!inserted) throw tooMany();
      return { ...webhookView(row), secret };
    },

    async change(caller: Caller, id: string, body: UpdateWebhook, keep: Keep): Promise<Webhook> {
      // Errors in the body come before a 404, as in every call.
      const url = body.url === undefined ? undefined : await checkUrl(body.url, { checkTarget });
      await visibleWebhook(webhooks, caller, id);
      await checkFilter(caller, body.filter);
      return update(caller, id, (row, at) => patchOf(row, body, url, at), keep);
    },

    async rotate(caller: Caller, id: string, body: RotateSecret, keep: Keep): Promise<WebhookWithSecret> {
      const secret = body.secret ?? newWebhookSecret();
      const nextSecret = secrets.seal(id, secret);
      const activateAt = activationOf(body, now());
      const change = (row: WebhookRow, at: number): WebhookPatch => ({
        updated_at: at,
        // A previously announced secret that is in force by now becomes the current secret.
        ...(row.next_secret !== null && (row.next_secret_at ?? 0) <= at && { secret: row.next_secret }),
        next_secret: nextSecret,
        next_secret_at: activateAt,
      });
      return { ...(await update(caller, id, change, keep)), secret };
    },
  };
}
