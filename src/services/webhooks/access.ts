// Access to a caller's webhook: visible to its own account only.
import { notFound } from '../../contracts/errors.ts';
import type { WebhookRow } from '../../stores/schema.ts';
import type { WebhooksStore } from '../../stores/webhooks.ts';
import type { Caller } from '../ports.ts';

export const ownedBy = ({ accountId }: Caller, id: string) => ({ accountId, id });

/** @throws 404 for another account's webhook too, so that its existence stays hidden. */
export async function visibleWebhook(
  webhooks: WebhooksStore,
  caller: Caller,
  id: string,
): Promise<WebhookRow> {
  const row = await webhooks.getWebhook(ownedBy(caller, id));
  if (!row) throw notFound('webhook');
  return row;
}
