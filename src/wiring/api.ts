// Wires the HTTP side: the services on top of the core, and the Express application.
import { createApp } from '../http/app.ts';
import { createSharedCounter } from '../redis/counter.ts';
import { createApiKeys } from '../services/api-keys.ts';
import { createClientTokens, looksLikeClientToken } from '../services/client-tokens.ts';
import { createEvents } from '../services/events.ts';
import type { HealthService } from '../services/health.ts';
import { createMessages } from '../services/messages/index.ts';
import { createMessageReader } from '../services/messages/reader.ts';
import { createModels } from '../services/models.ts';
import type { Services } from '../services/ports.ts';
import { createSessions } from '../services/sessions/index.ts';
import { createToolCalls } from '../services/tool-calls/index.ts';
import { createTools } from '../services/tools/index.ts';
import { createDeliveries } from '../services/webhooks/deliveries.ts';
import { createWebhooks } from '../services/webhooks/index.ts';
import { createAccessStore } from '../stores/access.ts';
import { keepSecret } from '../stores/secret-check.ts';
import { createWebhooksStore } from '../stores/webhooks.ts';
import type { Core } from './core.ts';
import type { ApiOptions } from './options.ts';

export function createApi(core: Core, options: ApiOptions, health: HealthService) {
  const { secretKey, settings, version } = options;
  const { syncWaitMs } = settings;
  const messages = createMessages({ ...core, syncWaitMs });
  const access = createAccessStore(core.store);
  const apiKeys = createApiKeys({
    ...{ ...core, access, secretKey },
    onProven: () => keepSecret(core.db, secretKey),
  });
  const clientTokens = createClientTokens({ ...core, access, secretKey });
  const webhooks = createWebhooksStore(core.store);
  const reader = createMessageReader(core.db);
  const services: Services = {
    sessions: createSessions({ ...core, reader }),
    messages,
    tools: createTools(core),
    toolCalls: createToolCalls({ ...core, reader }),
    events: createEvents(core),
    authenticate: (presented) =>
      (looksLikeClientToken(presented) ? clientTokens : apiKeys).authenticate(presented),
    apiKeys,
    clientTokens,
    webhooks: createWebhooks({ ...core, ...core.webhooks, webhooks }),
    deliveries: createDeliveries({ ...core, ...core.webhooks, webhooks }),
    models: createModels(core.catalogue),
    health,
  };
  const cursorSecret = Buffer.from(secretKey);
  const app = createApp({
    services,
    countTogether: core.redis ? createSharedCounter(core.redis) : undefined,
    log: core.logger,
    settings: { ...settings, version, cursorSecret, syncWaitSeconds: syncWaitMs / 1_000 },
  });
  return { app, services, apiKeys };
}
