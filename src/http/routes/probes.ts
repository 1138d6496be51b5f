// Probes for process managers and load balancers: no key, no rate limit.
import { Health, Readiness } from '../../contracts/health.ts';
import { defineRoute, json, type Route } from '../define-route.ts';
import type { RouteDeps } from './deps.ts';

export interface ProbeDeps {
  services: Pick<RouteDeps['services'], 'health'>;
}

const tag = 'Probes';

const health = defineRoute({
  method: 'get',
  path: '/healthz',
  level: 'none',
  operationId: 'getHealth',
  summary: 'The process is up',
  tag,
  response: Health,
  status: 200,
  errors: [],
  handler: async () => json({ status: 'ok' as const }),
});

const readiness = ({ services }: ProbeDeps) =>
  defineRoute({
    method: 'get',
    path: '/readyz',
    level: 'none',
    operationId: 'getReadiness',
    summary: 'Temporal, store and workers can be used',
    tag,
    response: Readiness,
    status: 200,
    otherStatuses: { 503: 'Something that is needed cannot be used' },
    errors: [],
    async handler() {
      const answer = await services.health.readiness();
      return json(answer, { status: answer.status === 'ok' ? 200 : 503 });
    },
  });

export const probeRoutes = (deps: ProbeDeps): Route[] => [health, readiness(deps)];
