// Deliveries: what was sent to a webhook, what is still to be sent, and how its tries went.
import { notFound } from '../../contracts/errors.ts';
import type { DeliveryRow } from '../../stores/schema.ts';
import type { WebhooksStore } from '../../stores/webhooks.ts';
import { deliveryView } from '../../views/webhooks.ts';
import type { Caller, DeliveriesService } from '../ports.ts';
import { byCreation, creationOf, sliceOf } from '../slices.ts';
import { ownedBy, visibleWebhook } from './access.ts';

export interface DeliveriesDeps {
  webhooks: WebhooksStore;
}

export function createDeliveries({ webhooks }: DeliveriesDeps): DeliveriesService {
  async function visibleDelivery(caller: Caller, id: string): Promise<DeliveryRow> {
    const row = await webhooks.getDelivery(ownedBy(caller, id));
    if (!row) throw notFound('delivery');
    return row;
  }

  return {
    async list(caller, webhookId, filter, page) {
      await visibleWebhook(webhooks, caller, webhookId);
      const rows = await webhooks.listDeliveries({ webhookId, ...filter, ...byCreation(page) });
      const { data, next } = sliceOf(rows, page.limit, creationOf);
      return { data: data.map(deliveryView), next };
    },

    get: async (caller, id) => deliveryView(await visibleDelivery(caller, id)),
  };
}
