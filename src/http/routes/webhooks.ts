// Webhooks of the caller's account.
import { Deleted, pageOf } from '../../contracts/common.ts';
import {
  CreateWebhook,
  RotateSecret,
  UpdateWebhook,
  Webhook,
  WebhookWithSecret,
} from '../../contracts/webhooks.ts';
import { defineRoute, json, type Route } from '../define-route.ts';
import { CREATE_WEBHOOK, WEBHOOK_WITH_SECRET } from '../examples.ts';
import { written } from '../idempotency.ts';
import { ListQuery } from '../query-types.ts';
import type { RouteDeps } from './deps.ts';

const tag = 'Webhooks';

const createWebhook = ({ services: { webhooks } }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/webhooks',
    level: 'standard',
    operationId: 'createWebhook',
    summary: 'Create a webhook; its secret is shown here only',
    description:
      'From now on each event that it names is sent to its `url`. Without a `secret` one is made. The answer to a ' +
      'retry with the same `Idempotency-Key` has null in its place.',
    tag,
    body: CreateWebhook,
    response: WebhookWithSecret,
    status: 201,
    errors: ['not_found', 'unavailable'],
    examples: { request: CREATE_WEBHOOK, response: WEBHOOK_WITH_SECRET },
    handler: async ({ caller, body, idempotency }) =>
      written(await webhooks.create(caller, body, idempotency)),
  });

const listWebhooks = ({ services: { webhooks }, openPage }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/webhooks',
    level: 'standard',
    operationId: 'listWebhooks',
    summary: 'List webhooks, newest first',
    tag,
    query: ListQuery,
    response: pageOf(Webhook),
    status: 200,
    errors: [],
    async handler(call) {
      const page = openPage(call, 'desc');
      return json(page.answer(await webhooks.list(call.caller, page.request)));
    },
  });

const getWebhook = ({ services: { webhooks } }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/webhooks/:webhookId',
    level: 'standard',
    operationId: 'getWebhook',
    summary: 'Get a webhook',
    tag,
    response: Webhook,
    status: 200,
    errors: ['not_found'],
    etag: true,
    handler: async ({ caller, params }) => json(await webhooks.get(caller, params.webhookId)),
  });

const updateWebhook = ({ services: { webhooks } }: RouteDeps) =>
  defineRoute({
    method: 'patch',
    path: '/v1/webhooks/:webhookId',
    level: 'standard',
    operationId: 'updateWebhook',
    summary: 'Change a webhook, disable it, or enable it again',
    description: 'Everything but its secret, which has a call of its own.',
    tag,
    body: UpdateWebhook,
    response: Webhook,
    status: 200,
    errors: ['not_found', 'unavailable'],
    handler: async ({ caller, params, body, idempotency }) =>
      written(await webhooks.update(caller, params.webhookId, body, idempotency)),
  });

const rotateSecret = ({ services: { webhooks } }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/webhooks/:webhookId/rotate-secret',
    level: 'standard',
    operationId: 'rotateWebhookSecret',
    summary: 'Give a webhook a new secret; it is shown here only',
    description:
      'Until `activate_at`, a day from now unless given, `webhook-signature` has a signature by each of the two ' +
      'secrets and `x-openclaw-signature` is by the old one; from then on all are by the new one.',
    tag,
    body: RotateSecret,
    response: WebhookWithSecret,
    status: 200,
    errors: ['not_found', 'unavailable'],
    handler: async ({ caller, params, body, idempotency }) =>
      written(await webhooks.rotateSecret(caller, params.webhookId, body, idempotency)),
  });

const deleteWebhook = ({ services: { webhooks } }: RouteDeps) =>
  defineRoute({
    method: 'delete',
    path: '/v1/webhooks/:webhookId',
    level: 'standard',
    operationId: 'deleteWebhook',
    summary: 'Delete a webhook; what was still to be sent to it is not sent',
    tag,
    response: Deleted,
    status: 200,
    errors: ['not_found', 'unavailable'],
    handler: async ({ caller, params, idempotency }) =>
      written(await webhooks.delete(caller, params.webhookId, idempotency)),
  });

export const webhookRoutes = (deps: RouteDeps): Route[] => [
  createWebhook(deps),
  listWebhooks(deps),
  getWebhook(deps),
  updateWebhook(deps),
  rotateSecret(deps),
  deleteWebhook(deps),
];
