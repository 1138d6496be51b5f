// Deliveries of the events of sessions to webhooks.
import { z } from 'zod';
import { pageOf } from '../../contracts/common.ts';
import { DELIVERY_STATUSES, Delivery } from '../../contracts/webhooks.ts';
import { defineRoute, json, type Route } from '../define-route.ts';
import { commaList, pageParameters } from '../query-types.ts';
import type { RouteDeps } from './deps.ts';

const tag = 'Webhooks';

const ListDeliveriesQuery = z.strictObject({
  ...pageParameters,
  status: commaList(DELIVERY_STATUSES).optional(),
});

const listDeliveries = ({ services: { deliveries }, openPage }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/webhooks/:webhookId/deliveries',
    level: 'standard',
    operationId: 'listDeliveries',
    summary: 'List the deliveries of a webhook, newest first',
    tag,
    query: ListDeliveriesQuery,
    response: pageOf(Delivery),
    status: 200,
    errors: ['not_found'],
    async handler(call) {
      const page = openPage(call, 'desc');
      const { status } = call.query;
      const filter = status ? { status } : {};
      const { webhookId } = call.params;
      return json(page.answer(await deliveries.list(call.caller, webhookId, filter, page.request)));
    },
  });

const getDelivery = ({ services: { deliveries } }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/deliveries/:deliveryId',
    level: 'standard',
    operationId: 'getDelivery',
    summary: 'Get a delivery, with its latest tries',
    tag,
    response: Delivery,
    status: 200,
    errors: ['not_found'],
    etag: true,
    handler: async ({ caller, params }) => json(await deliveries.get(caller, params.deliveryId)),
  });

export const deliveryRoutes = (deps: RouteDeps): Route[] => [listDeliveries(deps), getDelivery(deps)];
