// Which pages may open a WebSocket. Browsers name the page's origin and let any page connect anywhere; other clients name none.
import type { IncomingMessage } from 'node:http';
import { ApiError } from '../contracts/errors.ts';

/**
 * A page of this very host is taken, too: its own server would be it. Some libraries that are no browser send such an origin.
 * @throws ApiError `insufficient_permissions`
 */
export function requireOrigin({ headers }: IncomingMessage, allowed: readonly string[]): void {
  const { origin } = headers;
  if (origin === undefined || allowed.includes(origin) || isOwn(origin, headers.host)) return;
  const message =
    'Pages of this origin may not connect; the operator names those that may in OPENCLAW_CORS_ORIGINS';
  throw new ApiError('insufficient_permissions', message, { param: 'Origin' });
}

/** By host and port alone: a proxy may have ended TLS. */
function isOwn(origin: string, host: string | undefined): boolean {
  if (!host || !URL.canParse(origin)) return false;
  const { protocol, host: named } = new URL(origin);
  const own = `${protocol}//${host}`;
  return named !== '' && URL.canParse(own) && new URL(own).host === named;
}
