// Pages of lists. A list reads one row more than it shows: that row tells whether another page follows.
import type { PageRequest, Position, Slice } from './ports.ts';

/** Rows of which the first `limit` are shown. @param positionOf A row's sort values, where the next page starts. */
export function sliceOf<Row>(rows: Row[], limit: number, positionOf: (row: Row) => Position): Slice<Row> {
  const data = rows.slice(0, limit);
  const last = data.at(-1);
  return { data, next: rows.length > limit && last ? positionOf(last) : null };
}

/** What a store needs for a page of a list that is sorted by time of creation, then by id. */
export function byCreation({ order, after, limit }: PageRequest) {
  const [createdAt, id] = (after ?? []) as [number, string];
  return { order, after: after && { createdAt, id }, limit: limit + 1 };
}

export const creationOf = (row: { created_at: number; id: string }): Position => [row.created_at, row.id];
