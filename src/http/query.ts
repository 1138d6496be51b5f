// Reads the query string without guessing: each parameter once, and `metadata[key]=value` as an object.
import { ApiError } from '../contracts/errors.ts';
import { guardJson } from './json-guard.ts';
import { QUERY } from './validation.ts';

const METADATA_NAME = /^metadata\[(.*)\]$/s;

/** @param url The request target as received. */
export function readQuery(url: string): Record<string, unknown> {
  const start = url.indexOf('?');
  const text = start < 0 ? '' : url.slice(start + 1);
  refuseUndecodable(text);
  const plain = new Map<string, unknown>();
  const metadata = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    const key = METADATA_NAME.exec(name)?.[1];
    const target = key === undefined ? plain : metadata;
    if (target.has(key ?? name)) throw repeated(name);
    target.set(key ?? name, value);
  }
  if (metadata.size > 0 && plain.has('metadata')) throw repeated('metadata');
  if (metadata.size > 0) plain.set('metadata', Object.fromEntries(metadata));
  const query = Object.fromEntries(plain);
  guardJson(query, QUERY);
  return query;
}

/** URLSearchParams would replace undecodable bytes, and a filter would silently match something else. */
function refuseUndecodable(text: string): void {
  try {
    decodeURIComponent(text);
  } catch (cause) {
    const message = 'The query string is not percent-encoded UTF-8';
    // biome-ignore lint/style/useErrorCause: it is given; ApiError takes it as its third argument
    throw new ApiError('invalid_request', message, { cause });
  }
}

function repeated(name: string): ApiError {
  const param = name.slice(0, 100);
  return new ApiError('invalid_request', `The '${param}' parameter is given more than once`, { param });
}
