// Tokens for browsers and devices: some sessions, some scopes, some minutes.
import { ClientToken, CreateClientToken } from '../../contracts/client-tokens.ts';
import { defineRoute, type Route } from '../define-route.ts';
import { CLIENT_TOKEN, CREATE_CLIENT_TOKEN } from '../examples.ts';
import { written } from '../idempotency.ts';
import type { RouteDeps } from './deps.ts';

const createClientToken = ({ services: { clientTokens } }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/client-tokens',
    level: 'standard',
    operationId: 'createClientToken',
    summary: 'Create a short-lived token for some sessions',
    description:
      'For code that must not hold an API key. It is presented like a key, and works on the calls that have an ' +
      '`x-client-scope`, for the sessions and scopes that it names. It counts to the rate limit of the key that made ' +
      'it and dies with it. The answer to a retry with the same `Idempotency-Key` has null in its place.',
    tag: 'Client tokens',
    body: CreateClientToken,
    response: ClientToken,
    status: 201,
    errors: ['not_found', 'unavailable'],
    examples: { request: CREATE_CLIENT_TOKEN, response: CLIENT_TOKEN },
    handler: async ({ caller, body, idempotency }) =>
      written(await clientTokens.create(caller, body, idempotency)),
  });

export const clientTokenRoutes = (deps: RouteDeps): Route[] => [createClientToken(deps)];
