// The closed list of API errors, and the error class every room throws.
import { z } from 'zod';

/** Every code a client can receive, with its HTTP status and type. Codes are never renamed. */
export const ERROR_CODES = {
  invalid_request: { status: 400, type: 'validation_error' },
  missing_api_key: { status: 401, type: 'authentication_error' },
  invalid_api_key: { status: 401, type: 'authentication_error' },
  expired_api_key: { status: 401, type: 'authentication_error' },
  insufficient_permissions: { status: 403, type: 'permission_error' },
  not_found: { status: 404, type: 'not_found_error' },
  session_ended: { status: 404, type: 'not_found_error' },
  method_not_allowed: { status: 405, type: 'validation_error' },
  not_acceptable: { status: 406, type: 'validation_error' },
  session_busy: { status: 409, type: 'conflict_error' },
  tool_call_closed: { status: 409, type: 'conflict_error' },
  last_admin_key: { status: 409, type: 'conflict_error' },
  payload_too_large: { status: 413, type: 'validation_error' },
  unsupported_media_type: { status: 415, type: 'validation_error' },
  idempotency_key_reused: { status: 422, type: 'conflict_error' },
  rate_limited: { status: 429, type: 'rate_limit_error' },
  queue_full: { status: 429, type: 'rate_limit_error' },
  internal_error: { status: 500, type: 'api_error' },
  unavailable: { status: 503, type: 'api_error' },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Error codes of a reply, as carried by `message.error`. */
export const MESSAGE_ERROR_CODES = [
  'model_authentication',
  'model_invalid_request',
  'model_overloaded',
  'model_unavailable',
  'context_too_long',
  'tool_limit',
  'tool_timed_out',
  'session_ended',
  'internal_error',
] as const;

export type MessageErrorCode = (typeof MESSAGE_ERROR_CODES)[number];

export const ErrorDetail = z
  .object({
    code: z.string(),
    message: z.string(),
    param: z.string().nullable(),
    type: z.string(),
  })
  .meta({ id: 'ErrorDetail' });
export type ErrorDetail = z.infer<typeof ErrorDetail>;

export const ErrorBody = z.object({ error: ErrorDetail }).meta({ id: 'Error' });
export type ErrorBody = z.infer<typeof ErrorBody>;

export interface ApiErrorOptions {
  /** Path of the field or parameter at fault, such as `tools[0].name`, if any. */
  param?: string | null;
  /** Whole seconds, sent as `Retry-After`. */
  retryAfterSeconds?: number;
  /** Allowed methods, sent as `Allow` with a 405. */
  allow?: string[];
  cause?: unknown;
}

/** An expected failure. The server answers with its code and never logs a bug. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ErrorCode;
  readonly options: ApiErrorOptions;

  constructor(code: ErrorCode, message: string, options: ApiErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.options = options;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }

  /** The four keys in the order promised by the API. */
  body(): ErrorBody {
    const { type } = ERROR_CODES[this.code];
    return { error: { code: this.code, message: this.message, param: this.options.param ?? null, type } };
  }
}

/** The error of a reply, with the same four keys. */
export function messageError(code: MessageErrorCode, message: string): ErrorDetail {
  return { code, message, param: null, type: code === 'session_ended' ? 'not_found_error' : 'api_error' };
}

export const notFound = (what: string) => new ApiError('not_found', `No such ${what}`);
