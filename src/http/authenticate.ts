// Reads the key of a request and checks its level against the call. Keys in the query are ignored, because queries end up in
// logs.
import type { IncomingMessage } from 'node:http';
import { type Level, levelAllows } from '../contracts/api-keys.ts';
import { ApiError, notFound } from '../contracts/errors.ts';
import { TOKEN_PROTOCOL_PREFIX } from '../contracts/frames.ts';
import type { Caller, ClientGrant } from '../services/ports.ts';
import type { Access } from './define-route.ts';
import { wantsWebSocket } from './upgrade.ts';

const BEARER = /^bearer +(\S+)$/i;

const missing = () =>
  new ApiError(
    'missing_api_key',
    "An API key is required: send 'Authorization: Bearer <key>' or 'x-api-key'",
  );

const invalid = (message: string) => new ApiError('invalid_api_key', message);

/** Refuses two keys in one request, because a proxy could have checked the other key. */
export function presentedKey(req: IncomingMessage): string {
  const { authorization = [], 'x-api-key': plain = [] } = req.headersDistinct;
  const keys = [
    ...authorization.filter(isPresent).map(bearerKey),
    ...plain.filter(isPresent),
    ...(wantsWebSocket(req) ? offeredTokens(req) : []),
  ];
  const [key, ...others] = new Set(keys);
  if (key === undefined) throw missing();
  if (others.length > 0 || authorization.length > 1 || plain.length > 1)
    throw invalid('The request presents more than one API key');
  return key;
}

/** The offered protocols are the only headers a browser can set on a WebSocket. */
function offeredTokens({ headers }: IncomingMessage): string[] {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((protocol) => protocol.trim());
  return offered
    .filter((protocol) => protocol.startsWith(TOKEN_PROTOCOL_PREFIX))
    .map((protocol) => protocol.slice(TOKEN_PROTOCOL_PREFIX.length));
}

const isPresent = (header: string): boolean => header.trim() !== '' && !/^bearer$/i.test(header.trim());

function bearerKey(header: string): string {
  const key = BEARER.exec(header)?.[1];
  if (key === undefined) throw invalid("The Authorization header must read 'Bearer <key>'");
  return key;
}

/** @throws ApiError `insufficient_permissions` */
export function requirePermission(caller: Caller, access: Access): void {
  if (caller.grant) requireScope(caller.grant, access);
  else if (access.level !== 'none') requireLevel(caller, access.level);
}

function requireScope({ scopes }: ClientGrant, { clientScope }: Access): void {
  if (clientScope && scopes.has(clientScope)) return;
  const message = clientScope
    ? `This call needs a client token with the scope '${clientScope}'; this one has '${[...scopes].join(', ')}'`
    : 'This call needs an API key; client tokens are not taken here';
  throw new ApiError('insufficient_permissions', message);
}

/** For a client token, only its own sessions exist. @throws ApiError `not_found` */
export function requireGranted({ grant }: Caller, sessionId: string | undefined): void {
  if (grant && !grant.sessionIds.has(sessionId ?? '')) throw notFound('session');
}

function requireLevel(caller: Caller, level: Level): void {
  if (levelAllows(caller.level, level)) return;
  throw new ApiError(
    'insufficient_permissions',
    `This call needs a key of level '${level}'; this key's level is '${caller.level}'`,
  );
}
