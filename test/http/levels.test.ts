// Who may call what, for every route there is; and that the routes are the documented ones.
import { LEVELS, type Level, levelAllows } from '../../src/contracts/api-keys.ts';
import type { Route } from '../../src/http/define-route.ts';
import { createRoutes } from '../../src/http/routes/index.ts';
import { createFake } from './support/fake-services.ts';
import { expectError, type Harness, startHarness } from './support/server.ts';

const routes = createRoutes({
  services: createFake().services,
  settings: { cursorSecret: Buffer.alloc(32), version: '0.1.0', syncWaitSeconds: 240 },
});

/** The calls of the API reference that exist so far, with the lowest level that may make them. */
const DOCUMENTED = `
  GET /v1/sessions/:sessionId/tools read-only
  POST /v1/sessions/:sessionId/tools standard
  DELETE /v1/sessions/:sessionId/tools/:name standard
  POST /v1/sessions/:sessionId/tool-results standard
  GET /v1/sessions/:sessionId/tool-calls read-only
  GET /v1/tool-calls read-only
  POST /v1/sessions standard
  GET /v1/sessions read-only
  GET /v1/sessions/:sessionId read-only
  PATCH /v1/sessions/:sessionId standard
  DELETE /v1/sessions/:sessionId standard
  POST /v1/sessions/:sessionId/complete standard
  POST /v1/sessions/:sessionId/archive standard
  POST /v1/sessions/:sessionId/interrupt standard
  GET /v1/sessions/:sessionId/state read-only
  POST /v1/sessions/:sessionId/messages standard
  GET /v1/sessions/:sessionId/messages read-only
  GET /v1/sessions/:sessionId/messages/:messageId read-only
  GET /v1/sessions/:sessionId/events read-only
  POST /v1/webhooks standard
  GET /v1/webhooks standard
  GET /v1/webhooks/:webhookId standard
  PATCH /v1/webhooks/:webhookId standard
  DELETE /v1/webhooks/:webhookId standard
  GET /v1/webhooks/:webhookId/deliveries standard
  POST /v1/webhooks/:webhookId/rotate-secret standard
  POST /v1/webhooks/:webhookId/test standard
  POST /v1/webhooks/:webhookId/replay standard
  GET /v1/deliveries/:deliveryId standard
  POST /v1/deliveries/:deliveryId/redeliver standard
  POST /v1/client-tokens standard
  POST /v1/api-keys admin
  GET /v1/api-keys admin
  DELETE /v1/api-keys/:keyId admin
  GET /v1/models read-only
  GET /healthz none
  GET /readyz none
  GET /openapi.json none`
  .trim()
  .split('\n')
  .map((line) => line.trim());

const nameOf = ({ method, path, level }: Route): string => `${method.toUpperCase()} ${path} ${level}`;

it('serves exactly the documented calls', () => {
  expect(routes.map(nameOf).sort()).toEqual(DOCUMENTED.toSorted());
});

describe('every route with every level', () => {
  let app: Harness;
  beforeAll(async () => {
    app = await startHarness();
  });
  afterAll(() => app.close());

  const callRoute = (route: Route, key: string | null) =>
    app.call(route.method.toUpperCase(), route.path.replace(/:\w+/g, 'some_id'), { key });

  it.each(routes.map((route) => [nameOf(route), route] as const))('%s', async (_name, route) => {
    const withoutKey = await callRoute(route, null);
    if (route.level === 'none') {
      expect(withoutKey.status).toBe(200);
      expect(withoutKey.headers.get('x-ratelimit-limit')).toBeNull();
      return;
    }
    expectError(withoutKey, 401, 'missing_api_key');
    for (const level of LEVELS) {
      const answer = await callRoute(route, `a-${level}`);
      if (levelAllows(level, route.level as Level)) expect([401, 403]).not.toContain(answer.status);
      else expectError(answer, 403, 'insufficient_permissions');
      expect(answer.headers.get('x-ratelimit-limit')).toBe('100000');
    }
  });

  it('takes no parameter that a route does not name', async () => {
    for (const route of routes) {
      const path = `${route.path.replace(/:\w+/g, 'some_id')}?surprise=1`;
      expectError(await app.call(route.method.toUpperCase(), path), 400, 'invalid_request', 'surprise');
    }
  });

  it('takes no body field that a route does not name, on DELETE too', async () => {
    for (const route of routes.filter(({ method }) => method !== 'get')) {
      const path = route.path.replace(/:\w+/g, 'some_id');
      const valid = { model: 'm', content: 'c', name: 'n', level: 'admin' };
      const names = route.body.safeParse({}).success ? {} : valid;
      const picked = Object.fromEntries(
        Object.entries(names).filter(([key]) =>
          route.body
            .safeParse({ [key]: 1 })
            .error?.issues.every((issue) => issue.code !== 'unrecognized_keys'),
        ),
      );
      const answer = await app.call(route.method.toUpperCase(), path, {
        body: { ...(route.examples?.request ?? picked), account_id: 'x' },
      });
      expectError(answer, 400, 'invalid_request', 'account_id');
    }
  });
});
