// CORS for allowed pages. Preflights are answered here. Every other response tells the browser that the page may read the
// response. Callers authenticate by a header set by the page, so cookies and `Access-Control-Allow-Credentials` play no part.
import type { Request, RequestHandler, Response } from 'express';
import { type OriginRules, pageOriginOf, refuseForeign } from './origins.ts';
import { stateOf } from './request-state.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE'];

/** All request headers of the API. Some SSE clients set `Cache-Control` themselves. */
const REQUEST_HEADERS = [
  'Authorization',
  'Cache-Control',
  'Content-Type',
  'Idempotency-Key',
  'If-None-Match',
  'Last-Event-ID',
  'Prefer',
  'x-api-key',
];

const EXPOSED_HEADERS = [
  'Allow',
  'ETag',
  'Idempotent-Replayed',
  'Location',
  'request-id',
  'Retry-After',
  'WWW-Authenticate',
  'X-RateLimit-Limit',
  'X-RateLimit-Remaining',
  'X-RateLimit-Reset',
];

/** Browsers cache a preflight for two hours at most. */
const PREFLIGHT_KEPT_SECONDS = 7_200;

/**
 * Runs before authentication and rate limits, because a preflight carries no key and a page must be able to read each refusal.
 */
export function createCors(rules: OriginRules): RequestHandler {
  return (req, res, next) => {
    const page = pageOriginOf(req, rules);
    stateOf(res).page = page;
    res.vary('Origin');
    const isAllowed = page === 'listed' || page === 'local';
    if (isAllowed) allow(req, res);
    if (!isPreflight(req)) return next();
    refuseForeign(page);
    answerPreflight(req, res);
  };
}

const isPreflight = ({ method, headers }: Request): boolean =>
  method === 'OPTIONS' &&
  headers.origin !== undefined &&
  headers['access-control-request-method'] !== undefined;

function allow(req: Request, res: Response): void {
  res.set('Access-Control-Allow-Origin', req.headers.origin);
  res.set('Access-Control-Expose-Headers', EXPOSED_HEADERS.join(', '));
}

function answerPreflight(req: Request, res: Response): void {
  res.vary('Access-Control-Request-Method, Access-Control-Request-Headers');
  res.removeHeader('Access-Control-Expose-Headers');
  res.set('Access-Control-Allow-Methods', METHODS.join(', '));
  res.set('Access-Control-Allow-Headers', REQUEST_HEADERS.join(', '));
  res.set('Access-Control-Max-Age', String(PREFLIGHT_KEPT_SECONDS));
  // Chromium asks before an internet page calls an address of a private network.
  if (req.headers['access-control-request-private-network'] === 'true')
    res.set('Access-Control-Allow-Private-Network', 'true');
  res.status(204).end();
}
