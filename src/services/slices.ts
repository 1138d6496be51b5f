// Pages of lists. A list reads one row more than it shows: that row tells whether another page follows.
import { ApiError } from '../contracts/errors.ts';
import { stringifyJson } from '../contracts/json.ts';
import { countFitting } from '../stores/page-bytes.ts';
import type { PageRequest, Position, Slice } from './ports.ts';

/** Rows of which the first `limit` are shown. @param positionOf A row's sort values, where the next page starts. */
export function sliceOf<Row>(rows: Row[], limit: number, positionOf: (row: Row) => Position): Slice<Row> {
  const data = rows.slice(0, limit);
  const last = data.at(-1);
  return { data, next: rows.length > limit && last ? positionOf(last) : null };
}

/** As `sliceOf`, for rows that are short enough to be read before their answer is measured: as many as fit into a page. */
export function fittingSlice<Row, View>(
  rows: Row[],
  limit: number,
  { positionOf, view }: { positionOf: (row: Row) => Position; view: (row: Row) => View },
): Slice<View> {
  const views: View[] = [];
  const sizes: number[] = [];
  for (const row of rows.slice(0, limit)) {
    const shown = view(row);
    sizes.push(Buffer.byteLength(stringifyJson(shown)));
    if (countFitting(sizes) < sizes.length) break;
    views.push(shown);
  }
  return { data: views, next: sliceOf(rows, views.length, positionOf).next };
}

/**
 * What a store needs for a page of a list that is sorted by time of creation, then by id.
 * @param ties How many values decide between rows of one time, before their ids do.
 * @throws ApiError for a cursor of a release that sorted the list by others.
 */
export function byCreation({ order, after, limit }: PageRequest, ties = 0) {
  if (after && after.length !== ties + 2)
    throw new ApiError('invalid_request', "The 'cursor' is of an earlier release; begin again without it", {
      param: 'cursor',
    });
  return { order, after, limit: limit + 1 };
}

export const creationOf = (row: { created_at: number; id: string }): Position => [row.created_at, row.id];
