// Pages by the last row seen: stable while rows are added or removed, and as fast on the last page as on the first.
import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely';
import type { Tables } from './schema.ts';

export interface Keyset {
  order: 'asc' | 'desc';
  /** Sort values of the last row of the page before: its time, what decides between rows of one time, and its id. */
  after: (number | string)[] | null;
  limit: number;
}

type Listed = 'sessions' | 'session_metadata' | 'api_keys' | 'tool_calls' | 'webhooks' | 'deliveries';

/**
 * @param ties What decides between rows of one time, before their ids do: those of one transaction have an order, too.
 * @param id The column that holds the id of what is listed.
 */
export function page<T extends Listed, O>(
  select: SelectQueryBuilder<Tables, T, O>,
  { order, after, limit }: Keyset,
  ties: RawBuilder<unknown>[] = [],
  id = 'id',
): SelectQueryBuilder<Tables, T, O> {
  // All of these tables have these columns, an id by its own name; the builder can't know it of a type that stands for either.
  const rows = select as unknown as SelectQueryBuilder<Tables, Listed, O>;
  const sorting = [sql.ref('created_at'), ...ties, sql.ref(id)];
  const rest = after ? rows.where(beyond(sorting, after, order)) : rows;
  const sorted = sorting.reduce((query, column) => query.orderBy(column, order), rest).limit(limit);
  return sorted as unknown as SelectQueryBuilder<Tables, T, O>;
}

/** Both databases compare rows from left to right, and find the first one with an index. */
const beyond = (sorting: RawBuilder<unknown>[], after: (number | string)[], order: Keyset['order']) =>
  sql<boolean>`(${sql.join(sorting)}) ${sql.raw(order === 'desc' ? '<' : '>')} (${sql.join(after)})`;
