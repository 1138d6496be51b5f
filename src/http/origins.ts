// Which web pages may call this server. Browsers send the origin of the calling page. Other clients send no `Origin`.
import type { IncomingMessage } from 'node:http';
import { ApiError } from '../contracts/errors.ts';

/**
 * - `none`: the request names no origin, so no page sent the request.
 * - `own`: a page of this very host.
 * - `listed`: the operator lists the origin in OPENCLAW_CORS_ORIGINS.
 * - `local`: a page on this machine. `dev` accepts its client tokens.
 * - `foreign`: every other page, and pages with an opaque origin (`null`).
 */
export type PageOrigin = 'none' | 'own' | 'listed' | 'local' | 'foreign';

export interface OriginRules {
  /** Origins as browsers send them. */
  listed: readonly string[];
  /** Development only: pages on localhost, at any port. */
  allowLocal: boolean;
}

export function pageOriginOf({ headers }: IncomingMessage, { listed, allowLocal }: OriginRules): PageOrigin {
  const { origin } = headers;
  if (origin === undefined) return 'none';
  if (listed.includes(origin)) return 'listed';
  if (isOwn(origin, headers.host)) return 'own';
  return allowLocal && isLocal(origin) ? 'local' : 'foreign';
}

/** @throws ApiError `insufficient_permissions` */
export function refuseForeign(page: PageOrigin): void {
  if (page === 'foreign')
    throw refusal(
      'Pages of this origin may not call this server; OPENCLAW_CORS_ORIGINS lists those that may',
    );
}

/** A page on this machine needs no entry in the list, so only short-lived tokens are allowed. */
export const localPageNeedsToken = () =>
  refusal(
    'Pages on localhost may use a client token only; to use an API key, list their origin in OPENCLAW_CORS_ORIGINS',
  );

const refusal = (message: string) => new ApiError('insufficient_permissions', message, { param: 'Origin' });

/** Compares only host and port, because a proxy may have ended TLS. Some libraries outside browsers send such an origin. */
function isOwn(origin: string, host: string | undefined): boolean {
  if (!host || !URL.canParse(origin)) return false;
  const { protocol, host: named } = new URL(origin);
  const own = `${protocol}//${host}`;
  return named !== '' && URL.canParse(own) && new URL(own).host === named;
}

const LOCAL_HOSTS = ['localhost', '127.0.0.1', '[::1]'];

/** Browsers send only canonical origins. A text with a path, a user or another spelling comes from another client. */
function isLocal(origin: string): boolean {
  if (!URL.canParse(origin)) return false;
  const { protocol, hostname, origin: canonical } = new URL(origin);
  return /^https?:$/.test(protocol) && canonical === origin && LOCAL_HOSTS.includes(hostname);
}
