// CORS for allowed pages: preflights are answered here, and every other answer tells the browser that its page may read it.
// Callers authenticate by a header that the page sets itself, so cookies and `Access-Control-Allow-Credentials` play no part.
import type { Request, RequestHandler, Response } from 'express';
import { type OriginRules, pageOriginOf, refuseForeign } from './origins.ts';
import { stateOf } from './request-state.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE'];

/** All headers of the API. `Cache-Control` comes from readers of server-sent events that set it themselves. */
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

/** Browsers keep the answer to a preflight for two hours at most. */
const PREFLIGHT_KEPT_SECONDS = 7_200;

/** Runs before authentication and rate limits: a preflight carries no key, and a page must be able to read each refusal. */
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
  // Chromium asks before a page of the internet calls an address of a private network.
  if (req.headers['access-control-request-private-network'] === 'true')
    res.set('Access-Control-Allow-Private-Network', 'true');
  res.status(204).end();
}
