// Pages of lists: cursors for the same account, route and filter only, and the envelope around a slice.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../contracts/canonical-json.ts';
import { PAGE_LIMIT_DEFAULT, type Page, type PageQuery } from '../contracts/common.ts';
import { ApiError } from '../contracts/errors.ts';
import type { Caller, PageRequest, Position, Slice } from '../services/ports.ts';

/** Half a SHA-256, which nobody can forge and which keeps cursors short. */
const MAC_BYTES = 16;

const PositionShape = z.array(z.union([z.string(), z.number()]));

/** A cursor is valid only for the scope of its list. */
interface CursorScope {
  accountId: string;
  path: string;
  filter: Record<string, unknown>;
}

interface Cursors {
  encode(position: Position, scope: CursorScope): string;
  /** @throws ApiError `invalid_request` with param `cursor` */
  decode(cursor: string, scope: CursorScope): Position;
}

const refused = () =>
  new ApiError('invalid_request', "The 'cursor' parameter is not a cursor of this list and filter", {
    param: 'cursor',
  });

export function createCursors(secret: Buffer): Cursors {
  const macOf = (payload: Buffer, { accountId, path, filter }: CursorScope) =>
    createHmac('sha256', secret)
      .update(canonicalJson([accountId, path, filter]))
      .update('\n')
      .update(payload)
      .digest()
      .subarray(0, MAC_BYTES);
  return {
    encode(position, scope) {
      const payload = Buffer.from(JSON.stringify(position));
      return Buffer.concat([macOf(payload, scope), payload]).toString('base64url');
    },
    decode(cursor, scope) {
      const bytes = Buffer.from(cursor, 'base64url');
      // Buffer.from skips unreadable characters, so only our own spelling is accepted.
      if (bytes.length <= MAC_BYTES || bytes.toString('base64url') !== cursor) throw refused();
      const payload = bytes.subarray(MAC_BYTES);
      if (!timingSafeEqual(bytes.subarray(0, MAC_BYTES), macOf(payload, scope))) throw refused();
      return PositionShape.parse(JSON.parse(payload.toString()));
    },
  };
}

interface ListCall {
  caller: Caller;
  path: string;
  query: PageQuery & Record<string, unknown>;
}

interface OpenPage {
  request: PageRequest;
  answer<T>(slice: Slice<T>): Page<T>;
}

export type OpenPageOf = (call: ListCall, orderDefault: 'asc' | 'desc') => OpenPage;

/** The limit may change from page to page. All other query parameters are the filter. */
export function createPager(cursors: Cursors): OpenPageOf {
  return ({ caller, path, query }, orderDefault) => {
    const { limit = PAGE_LIMIT_DEFAULT, cursor, order = orderDefault, ...filter } = query;
    const scope: CursorScope = { accountId: caller.accountId, path, filter: { ...filter, order } };
    const after = cursor === undefined ? null : cursors.decode(cursor, scope);
    return {
      request: { limit, order, after },
      answer: ({ data, next }) => ({
        data,
        has_more: next !== null,
        next_cursor: next === null ? null : cursors.encode(next, scope),
      }),
    };
  };
}
