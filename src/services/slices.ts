// Pages of lists. A list reads one extra row, which tells whether another page follows.
import { ApiError } from '../contracts/errors.ts';
import { stringifyJson } from '../contracts/json.ts';
import { countFitting } from '../stores/page-bytes.ts';
import type { PageRequest, Position, Slice } from './ports.ts';

/** Shows the first `limit` rows. @param positionOf A row's sort values, where the next page starts. */
export function sliceOf<Row>(rows: Row[], limit: number, positionOf: (row: Row) => Position): Slice<Row> {
  const data = rows.slice(0, limit);
  const last = data.at(-1);
  return { data, next: rows.length > limit && last ? positionOf(last) : null };
}

/**
 * Like `sliceOf`, for rows short enough to be read before their response is measured. Returns as many rows as fit into
 * a page.
 */
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
 * The store arguments for a page of a list sorted by creation time, then by id.
 * @param ties The number of values that order rows of the same time before their ids do.
 * @throws ApiError for a cursor of a release that sorted the list differently.
 */
export function byCreation({ order, after, limit }: PageRequest, ties = 0) {
  if (after && after.length !== ties + 2)
    throw new ApiError('invalid_request', "The 'cursor' is of an earlier release; begin again without it", {
      param: 'cursor',
    });
  return { order, after, limit: limit + 1 };
}

export const creationOf = (row: { created_at: number; id: string }): Position => [row.created_at, row.id];
