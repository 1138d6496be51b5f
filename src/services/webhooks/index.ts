// Webhooks of an account. A secret is shown once, in the response that sets it.
import { type Deleted, deleted } from '../../contracts/common.ts';
import { notFound } from '../../contracts/errors.ts';
import type { Webhook, WebhookWithSecret } from '../../contracts/webhooks.ts';
import { webhookView } from '../../views/webhooks.ts';
import type { Keep, Once, Resource } from '../idempotency.ts';
import type { Caller, WebhooksService } from '../ports.ts';
import { byCreation, creationOf, fittingSlice } from '../slices.ts';
import { ownedBy, visibleWebhook } from './access.ts';
import { type ChangeWebhookDeps, createWebhookChanges } from './change.ts';

export interface WebhooksDeps extends ChangeWebhookDeps {
  once: Once;
}

export function createWebhooks(deps: WebhooksDeps): WebhooksService {
  const { webhooks, once, now } = deps;
  const { make, change, rotate } = createWebhookChanges(deps);

  const show = async (caller: Caller, id: string): Promise<Webhook> =>
    webhookView(await visibleWebhook(webhooks, caller, id));

  async function remove(caller: Caller, id: string, keep: Keep): Promise<Deleted> {
    const owned = { ...ownedBy(caller, id), now: now() };
    if (!(await webhooks.deleteWebhook(owned, (rows) => keep(rows)))) throw notFound('webhook');
    return deleted(id);
  }

  return {
    create: (caller, body, idempotency) =>
      once<WebhookWithSecret, Resource>(
        caller,
        idempotency,
        (keep) => make(caller, body, keep),
        async ({ id }) => ({ ...(await show(caller, id)), secret: null }),
      ),

    async list(caller, page) {
      const rows = await webhooks.listWebhooks({ accountId: caller.accountId, ...byCreation(page) });
      return fittingSlice(rows, page.limit, { positionOf: creationOf, view: webhookView });
    },

    get: show,

    update: (caller, id, body, idempotency) =>
      once(
        caller,
        idempotency,
        (keep) => change(caller, id, body, keep),
        () => show(caller, id),
      ),

    rotateSecret: (caller, id, body, idempotency) =>
      once<WebhookWithSecret>(
        caller,
        idempotency,
        (keep) => rotate(caller, id, body, keep),
        async () => ({ ...(await show(caller, id)), secret: null }),
      ),

    delete: (caller, id, idempotency) =>
      once(
        caller,
        idempotency,
        (keep) => remove(caller, id, keep),
        async () => deleted(id),
      ),
  };
}
