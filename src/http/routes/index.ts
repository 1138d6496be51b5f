// The list of all routes, used by both the server and the documentation.
import type { Services } from '../../services/ports.ts';
import type { Route } from '../define-route.ts';
import { type DocumentSettings, openApiRoute } from '../openapi.ts';
import { createCursors, createPager } from '../pagination.ts';
import { apiKeyRoutes } from './api-keys.ts';
import { clientTokenRoutes } from './client-tokens.ts';
import { deliveryRoutes } from './deliveries.ts';
import type { RouteDeps } from './deps.ts';
import { eventRoutes } from './events.ts';
import { messageRoutes } from './messages.ts';
import { modelRoutes } from './models.ts';
import { probeRoutes } from './probes.ts';
import { sessionActionRoutes } from './session-actions.ts';
import { sessionRoutes } from './sessions.ts';
import { toolRoutes } from './tools.ts';
import { webhookRoutes } from './webhooks.ts';

interface RoutesOptions {
  services: Services;
  settings: DocumentSettings & { cursorSecret: Buffer };
}

export function createRoutes({ services, settings }: RoutesOptions): Route[] {
  const deps: RouteDeps = { services, openPage: createPager(createCursors(settings.cursorSecret)) };
  const routes = [
    ...sessionRoutes(deps),
    ...sessionActionRoutes(deps),
    ...messageRoutes(deps),
    ...toolRoutes(deps),
    ...eventRoutes(deps),
    ...webhookRoutes(deps),
    ...deliveryRoutes(deps),
    ...apiKeyRoutes(deps),
    ...clientTokenRoutes(deps),
    ...modelRoutes(deps),
    ...probeRoutes(deps),
  ];
  return [...routes, openApiRoute(routes, settings)];
}
