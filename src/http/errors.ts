// The only map from thrown values to error responses.
import type { ErrorRequestHandler, Response } from 'express';
import type { Logger } from 'pino';
import { ApiError } from '../contracts/errors.ts';
import { stateOf } from './request-state.ts';

/** The `Retry-After` of errors without their own. */
const RETRY_AFTER_SECONDS_DEFAULT = 1;

/** The router throws this for a path such as `/v1/sessions/%zz`. */
const isUndecodablePath = (thrown: unknown): boolean =>
  thrown instanceof URIError && (thrown as { status?: unknown }).status === 400;

/**
 * @returns null for an unexpected value, which is a bug. A `status` alone proves nothing, because clients of other APIs throw
 * it too.
 */
function toApiError(thrown: unknown): ApiError | null {
  if (thrown instanceof ApiError) return thrown;
  return isUndecodablePath(thrown) ? noSuchRoute() : null;
}

export const noSuchRoute = () => new ApiError('not_found', 'No such route');

export const internalError = () =>
  new ApiError('internal_error', 'Something went wrong on our side; the request-id helps to find it');

export function sendError(res: Response, error: ApiError): void {
  const { allow, retryAfterSeconds = RETRY_AFTER_SECONDS_DEFAULT } = error.options;
  if (allow) res.set('Allow', allow.join(', '));
  if (error.status === 401) res.set('WWW-Authenticate', 'Bearer');
  if (error.status === 429 || error.status === 503)
    res.set('Retry-After', String(Math.max(1, Math.ceil(retryAfterSeconds))));
  res.set('Cache-Control', 'no-store').status(error.status).json(error.body());
}

export function createErrorHandler(log: Logger): ErrorRequestHandler {
  // Express recognizes an error handler by its four arguments.
  return (thrown, _req, res, _next) => {
    const state = stateOf(res);
    const known = toApiError(thrown);
    if (!known && !state.signal.aborted)
      log.error({ err: thrown, request_id: state.requestId, route: state.route }, 'request failed');
    // The response has already begun, so only a closed connection can signal the error.
    if (res.headersSent) res.destroy();
    else sendError(res, known ?? internalError());
  };
}
