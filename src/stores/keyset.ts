// Pages by the last row seen: stable while rows are added or removed, and as fast on the last page as on the first.
import type { SelectQueryBuilder } from 'kysely';
import type { Tables } from './schema.ts';

export interface Keyset {
  order: 'asc' | 'desc';
  /** Sort values of the last row of the page before. */
  after: { createdAt: number; id: string } | null;
  limit: number;
}

type Listed = 'sessions' | 'api_keys' | 'tool_calls' | 'webhooks' | 'deliveries';

/** The page of a list by age, ties broken by id. */
export function page<T extends Listed, O>(
  select: SelectQueryBuilder<Tables, T, O>,
  { order, after, limit }: Keyset,
): SelectQueryBuilder<Tables, T, O> {
  // All of these tables have these columns; the builder can't know it of a type that stands for either.
  const rows = select as unknown as SelectQueryBuilder<Tables, Listed, O>;
  const beyond = order === 'desc' ? '<' : '>';
  const rest = after
    ? rows.where(({ eb, and, or }) =>
        or([
          eb('created_at', beyond, after.createdAt),
          and([eb('created_at', '=', after.createdAt), eb('id', beyond, after.id)]),
        ]),
      )
    : rows;
  const sorted = rest.orderBy('created_at', order).orderBy('id', order).limit(limit);
  return sorted as unknown as SelectQueryBuilder<Tables, T, O>;
}
