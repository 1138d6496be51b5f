// Deliveries of session events to webhooks.
import { z } from 'zod';
import { pageOf } from '../../contracts/common.ts';
import {
  DELIVERY_STATUSES,
  Delivery,
  ReplayDeliveries,
  Replayed,
  TestWebhook,
} from '../../contracts/webhooks.ts';
import { defineRoute, json, type Route } from '../define-route.ts';
import { REPLAY_DELIVERIES } from '../examples.ts';
import { written } from '../idempotency.ts';
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

const testWebhook = ({ services: { deliveries } }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/webhooks/:webhookId/test',
    level: 'standard',
    operationId: 'testWebhook',
    summary: 'Send a webhook an event that never was, and see what it answers',
    description:
      'One try, whose end this call waits for. The body says `"test": true`. Without a `type` it is the first that ' +
      'the webhook has asked for.',
    tag,
    body: TestWebhook,
    response: Delivery,
    status: 200,
    errors: ['not_found', 'unavailable'],
    handler: async ({ caller, params, body, idempotency }) =>
      written(await deliveries.test(caller, params.webhookId, body, idempotency)),
  });

const redeliver = ({ services: { deliveries } }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/deliveries/:deliveryId/redeliver',
    level: 'standard',
    operationId: 'redeliver',
    summary: 'Send a delivery again, whatever has become of it',
    description: 'The same bytes with the same `webhook-id`, tried from the beginning of the schedule.',
    tag,
    response: Delivery,
    status: 200,
    errors: ['not_found', 'unavailable'],
    handler: async ({ caller, params, idempotency }) =>
      written(await deliveries.redeliver(caller, params.deliveryId, idempotency)),
  });

const replayDeliveries = ({ services: { deliveries } }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/webhooks/:webhookId/replay',
    level: 'standard',
    operationId: 'replayDeliveries',
    summary: 'Send all deliveries of a time again',
    description:
      'Those whose events happened from `from` on and before `to`, delivered or not, and those that were not queued ' +
      'because the webhook was disabled; at most 10,000 at once.',
    tag,
    body: ReplayDeliveries,
    response: Replayed,
    status: 202,
    errors: ['not_found', 'unavailable'],
    examples: { request: REPLAY_DELIVERIES, response: { count: 17 } },
    handler: async ({ caller, params, body, idempotency }) =>
      written(await deliveries.replay(caller, params.webhookId, body, idempotency)),
  });

export const deliveryRoutes = (deps: RouteDeps): Route[] => [
  listDeliveries(deps),
  getDelivery(deps),
  testWebhook(deps),
  redeliver(deps),
  replayDeliveries(deps),
];
