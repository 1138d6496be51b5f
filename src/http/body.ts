// Reads a JSON body: bounded, in UTF-8, an object, and accepted by `json-guard`.
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createGunzip, createInflate } from 'node:zlib';
import { ApiError } from '../contracts/errors.ts';
import { isContainer, parseJson, TooManyExactNumbersError } from '../contracts/json.ts';
import { DEPTH_MAX, guardJson } from './json-guard.ts';
import { BODY } from './validation.ts';

/** A message of 1,000,000 characters takes at most 4 MB in UTF-8. */
export const BODY_BYTES_MAX = 4 * 1024 * 1024;

/** Other requests run between the steps of reading a larger body. */
const BYTES_AT_ONCE_MAX = 64 * 1024;

/** JSON.parse takes a second for two million levels, so deeper bodies are refused before parsing. */
const NESTING_PARSED_MAX = 10_000;

/**
 * Limit for values and field names together, as many as 4 MiB of database rows have. 4 MiB of `{}` or of new names take up to a
 * second of CPU. Each step of reading this many takes at most 150 to 180 ms of CPU on a busy core. Doubles of 17 digits take
 * 270 ms.
 */
export const PARTS_MAX = 500_000;

/** Limit for numbers such as 1.10, which cost the most. */
export const EXACT_NUMBERS_MAX = 50_000;

const tooLarge = () =>
  new ApiError('payload_too_large', `The request body is larger than ${BODY_BYTES_MAX} bytes`);

const tooMany = (what: string, max: number, parts: string) =>
  new ApiError(
    'payload_too_large',
    `${what} has more than ${max} ${parts}. Send less at once, or send it as text`,
  );

const badBody = (message: string, cause?: unknown) => new ApiError('invalid_request', message, { cause });

/** A missing body reads as `{}`, whatever the content type. Numbers keep their digits, see `parseBody`. */
export async function readBody(req: IncomingMessage): Promise<Record<string, unknown>> {
  if (!hasBody(req)) return {};
  const bytes = await readBytes(req);
  if (bytes.length === 0) return {};
  const value = parseObject(bytes, 'The request body');
  if (bytes.length > BYTES_AT_ONCE_MAX) await nextTurn();
  guardJson(value, BODY);
  if (bytes.length > BYTES_AT_ONCE_MAX) await nextTurn();
  return value;
}

/**
 * The object may still hold values that `guardJson` refuses.
 * @param what Names the input, at the beginning of a sentence.
 * @throws ApiError `invalid_request`
 */
export function parseObject(bytes: Buffer, what: string): Record<string, unknown> {
  refuseCostly(bytes, what);
  const value = parseText(decodeUtf8(bytes, what), what);
  if (!isContainer(value) || Array.isArray(value)) throw badBody(`${what} must be a JSON object`);
  return value as Record<string, unknown>;
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

async function readBytes(req: IncomingMessage): Promise<Buffer> {
  refuseOtherTypes(req.headers['content-type']);
  if (Number(req.headers['content-length'] ?? 0) > BODY_BYTES_MAX) throw tooLarge();
  return collect(req, decoded(req));
}

function refuseOtherTypes(contentType: string | undefined): void {
  const [type, ...parameters] = (contentType ?? '').split(';').map((part) => part.trim().toLowerCase());
  if (type !== 'application/json')
    throw new ApiError('unsupported_media_type', "The request body's Content-Type must be application/json");
  const charset = parameters.find((parameter) => parameter.startsWith('charset='));
  if (charset && !/^charset="?utf-?8"?$/.test(charset))
    throw new ApiError('unsupported_media_type', 'The request body must be encoded in UTF-8');
}

function decoded(req: IncomingMessage): Readable {
  const encoding = (req.headers['content-encoding'] ?? 'identity').toLowerCase();
  if (encoding === 'identity') return req;
  if (encoding === 'gzip') return req.pipe(createGunzip());
  if (encoding === 'deflate') return req.pipe(createInflate());
  throw new ApiError(
    'unsupported_media_type',
    "The request body's Content-Encoding must be identity, gzip or deflate",
  );
}

/** Reads and discards bytes over the limit, so that a client still sending can read the response. */
function collect(req: IncomingMessage, stream: Readable): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const fail = (error: ApiError) => {
      reject(error);
      if (stream !== req) {
        req.unpipe();
        stream.destroy();
      }
      req.resume();
    };
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= BODY_BYTES_MAX) chunks.push(chunk);
      else fail(tooLarge());
    });
    stream.on('end', () => resolve(Buffer.concat(chunks)));
    stream.on('error', (cause) => fail(badBody('The request body cannot be decoded', cause)));
    // A complete request also closes, while its last bytes are still being inflated.
    req.on('close', () => {
      if (!req.complete) reject(badBody('The request body was cut off'));
    });
  });
}

function decodeUtf8(bytes: Buffer, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw badBody(`${what} is not valid UTF-8`, cause);
  }
}

function parseText(text: string, what: string): unknown {
  try {
    return parseJson(text, EXACT_NUMBERS_MAX);
  } catch (cause) {
    if (cause instanceof TooManyExactNumbersError)
      throw tooMany(what, EXACT_NUMBERS_MAX, 'numbers that a double would write differently, such as 1.10');
    const where = cause instanceof Error ? cause.message.toWellFormed() : String(cause);
    throw badBody(`${what} is not valid JSON: ${where}`, cause);
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** The change of depth for each opening and closing bracket or brace. */
const DEPTH_CHANGE = Int8Array.from({ length: 256 }, (_, code) => {
  if (code === 0x5b || code === 0x7b) return 1;
  return code === 0x5d || code === 0x7d ? -1 : 0;
});
/** Each value and each field name follows a `[`, `{`, `,` or `:`. */
const PART = Uint8Array.from({ length: 256 }, (_, code) =>
  '[{,:'.includes(String.fromCharCode(code)) ? 1 : 0,
);

/** Runs before JSON.parse, which can't be stopped. */
function refuseCostly(bytes: Buffer, what: string): void {
  let depth = 0;
  let parts = 0;
  let inText = false;
  /** Positions after the last two quotes of the outermost object. Where a value nests, the quotes enclose its key. */
  let [keyStart, keyEnd] = [0, 0];
  for (let index = 0; index < bytes.length; index++) {
    const code = bytes[index] as number;
    if (code === QUOTE) {
      inText = !inText;
      if (depth === 1) [keyStart, keyEnd] = [keyEnd, index + 1];
    } else if (code === BACKSLASH) index++;
    else if (!inText) {
      depth += DEPTH_CHANGE[code] as number;
      parts += PART[code] as number;
    }
    if (depth > NESTING_PARSED_MAX) throw tooDeep(bytes.toString('utf8', keyStart, keyEnd - 1), what);
  }
  if (parts > PARTS_MAX) throw tooMany(what, PARTS_MAX, 'values and names of fields');
}

/** @param key As JSON without its quotes. */
function tooDeep(key: string, what: string): ApiError {
  const param = key === '' ? null : BODY.path([textOf(key)]);
  const where = param === null ? what : `The '${param}' field`;
  return new ApiError('invalid_request', `${where} is nested deeper than ${DEPTH_MAX} levels`, { param });
}

function textOf(json: string): string {
  try {
    return JSON.parse(`"${json}"`);
  } catch {
    return json;
  }
}
