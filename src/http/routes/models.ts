// The models a session may use.
import { pageOf } from '../../contracts/common.ts';
import { ModelEntry } from '../../contracts/models.ts';
import type { PageRequest, Slice } from '../../services/ports.ts';
import { defineRoute, json, type Route } from '../define-route.ts';
import { ListQuery } from '../query-types.ts';
import type { RouteDeps } from './deps.ts';

/** The catalogue is a short list in memory, so a position is an index. */
function sliceOf<T>(items: readonly T[], { limit, order, after }: PageRequest): Slice<T> {
  const start = Number(after?.[0] ?? 0);
  const ordered = order === 'asc' ? items : items.toReversed();
  const end = start + limit;
  return { data: ordered.slice(start, end), next: end < items.length ? [end] : null };
}

const listModels = ({ services: { models }, openPage }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/models',
    level: 'read-only',
    operationId: 'listModels',
    summary: 'List the models that a session may name',
    tag: 'Models',
    query: ListQuery,
    response: pageOf(ModelEntry),
    status: 200,
    errors: [],
    async handler(call) {
      const page = openPage(call, 'asc');
      return json(page.answer(sliceOf(models.list(), page.request)));
    },
  });

export const modelRoutes = (deps: RouteDeps): Route[] => [listModels(deps)];
