// Keyset pagination: stable while rows are added or removed, and as fast on the last page as on the first.
import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely';
import type { Tables } from './schema.ts';

export interface Keyset {
  order: 'asc' | 'desc';
  /** Sort values of the previous page's last row: its time, its tie-breakers and its id. */
  after: (number | string)[] | null;
  limit: number;
}

type Listed = 'sessions' | 'session_metadata' | 'api_keys' | 'tool_calls' | 'webhooks' | 'deliveries';

/**
 * @param ties Order rows of equal time before their ids do: rows of one transaction have an order, too.
 * @param id The column with the id of the listed rows.
 */
export function page<T extends Listed, O>(
  select: SelectQueryBuilder<Tables, T, O>,
  { order, after, limit }: Keyset,
  ties: RawBuilder<unknown>[] = [],
  id = 'id',
): SelectQueryBuilder<Tables, T, O> {
  // Every listed table has these columns, under its own name for the id. The builder can't derive them from a union of tables.
  const rows = select as unknown as SelectQueryBuilder<Tables, Listed, O>;
  const sorting = [sql.ref('created_at'), ...ties, sql.ref(id)];
  const rest = after ? rows.where(beyond(sorting, after, order)) : rows;
  const sorted = sorting.reduce((query, column) => query.orderBy(column, order), rest).limit(limit);
  return sorted as unknown as SelectQueryBuilder<Tables, T, O>;
}

/** Both databases compare rows from left to right, and find the first row with an index. */
const beyond = (sorting: RawBuilder<unknown>[], after: (number | string)[], order: Keyset['order']) =>
  sql<boolean>`(${sql.join(sorting)}) ${sql.raw(order === 'desc' ? '<' : '>')} (${sql.join(after)})`;
