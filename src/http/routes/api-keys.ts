// API keys of the caller's account.
import { ApiKey, CreateApiKey, CreatedApiKey } from '../../contracts/api-keys.ts';
import { Deleted, pageOf } from '../../contracts/common.ts';
import { defineRoute, json, type Route } from '../define-route.ts';
import { CREATE_API_KEY, CREATED_API_KEY } from '../examples.ts';
import { written } from '../idempotency.ts';
import { ListQuery } from '../query-types.ts';
import type { RouteDeps } from './deps.ts';

const tag = 'API keys';

const createApiKey = ({ services: { apiKeys } }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/api-keys',
    level: 'admin',
    operationId: 'createApiKey',
    summary: 'Create an API key; the key itself is shown here only',
    description: 'The answer to a retry with the same `Idempotency-Key` has null in its place.',
    tag,
    body: CreateApiKey,
    response: CreatedApiKey,
    status: 201,
    errors: ['unavailable'],
    examples: { request: CREATE_API_KEY, response: CREATED_API_KEY },
    handler: async ({ caller, body, idempotency }) =>
      written(await apiKeys.create(caller, body, idempotency)),
  });

const listApiKeys = ({ services: { apiKeys }, openPage }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/api-keys',
    level: 'admin',
    operationId: 'listApiKeys',
    summary: 'List API keys, newest first',
    tag,
    query: ListQuery,
    response: pageOf(ApiKey),
    status: 200,
    errors: [],
    async handler(call) {
      const page = openPage(call, 'desc');
      return json(page.answer(await apiKeys.list(call.caller, page.request)));
    },
  });

const revokeApiKey = ({ services: { apiKeys } }: RouteDeps) =>
  defineRoute({
    method: 'delete',
    path: '/v1/api-keys/:keyId',
    level: 'admin',
    operationId: 'revokeApiKey',
    summary: 'Revoke an API key',
    tag,
    response: Deleted,
    status: 200,
    errors: ['not_found', 'last_admin_key', 'unavailable'],
    handler: async ({ caller, params, idempotency }) =>
      written(await apiKeys.revoke(caller, params.keyId, idempotency)),
  });

export const apiKeyRoutes = (deps: RouteDeps): Route[] => [
  createApiKey(deps),
  listApiKeys(deps),
  revokeApiKey(deps),
];
