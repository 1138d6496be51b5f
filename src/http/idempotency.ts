// Reads `Idempotency-Key` and binds the key to its call.
import { createHash } from 'node:crypto';
import { canonicalJson } from '../contracts/canonical-json.ts';
import { ApiError } from '../contracts/errors.ts';
import type { Idempotency, Written } from '../services/ports.ts';
import { json } from './define-route.ts';

const IDEMPOTENCY_HEADER = 'Idempotency-Key';
const REPLAYED_HEADER = 'Idempotent-Replayed';

const PRINTABLE = /^[\x20-\x7e]{1,255}$/;
/** A quoted string of RFC 8941, which escapes only `"` and `\`. */
const QUOTED = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;

/** Both forms in one pattern, for the documentation. */
export const IDEMPOTENCY_KEY_FORMS = /^([!#-~]([ -~]*[!-~])?|"([ !#-[\]-~]|\\["\\])+")$/;

const refused = (message: string) => new ApiError('invalid_request', message, { param: IDEMPOTENCY_HEADER });

/** The bare and the quoted form give the same key. */
function parseIdempotencyKey(header: string): string {
  const quoted = QUOTED.exec(header)?.[1];
  if (quoted === undefined && header.startsWith('"'))
    throw refused(`The '${IDEMPOTENCY_HEADER}' header starts with a quote and is not a quoted string`);
  const key = quoted?.replace(/\\(["\\])/g, '$1') ?? header;
  if (!PRINTABLE.test(key))
    throw refused(`The '${IDEMPOTENCY_HEADER}' header must have 1 to 255 printable ASCII characters`);
  return key;
}

export function readIdempotency(
  headers: readonly string[] | undefined,
  route: string,
  body: unknown,
): Idempotency | null {
  const [header, ...others] = headers ?? [];
  if (header === undefined) return null;
  if (others.length > 0) throw refused(`The '${IDEMPOTENCY_HEADER}' header is given more than once`);
  return {
    key: parseIdempotencyKey(header),
    route,
    fingerprint: createHash('sha256').update(canonicalJson(body)).digest('hex'),
  };
}

/** The response to a write. A header says whether an earlier request with the same key did the write. */
export const written = <T>({ value, replayed }: Written<T>, headers: Record<string, string> = {}) =>
  json(value, { headers: { ...headers, ...replayHeaders(replayed) } });

export const replayHeaders = (replayed: boolean): Record<string, string> =>
  replayed ? { [REPLAYED_HEADER]: 'true' } : {};
