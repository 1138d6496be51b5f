// The state of a request in progress, stored in `res.locals`.
import type { Response } from 'express';
import type { ApiError } from '../contracts/errors.ts';
import type { Caller } from '../services/ports.ts';
import type { PageOrigin } from './origins.ts';
import type { RateWindow } from './rate-limit.ts';

export interface RequestState {
  requestId: string;
  /** Aborts when the client disconnects, the server stops, or `abort` is called. */
  signal: AbortSignal;
  /** Ends the call with an API error. Unsent output is dropped. */
  abort(reason: ApiError): void;
  /** The route's pattern, once known. Real paths and queries contain ids and filters, so they stay out of logs. */
  route: string | null;
  caller: Caller | null;
  /** The reason for a missing caller. Thrown only if the route needs a caller. */
  callerFailure: unknown;
  rate: RateWindow | null;
  /** Counts the call against its caller's open calls, until the call closes. @throws ApiError `rate_limited` */
  holdOpen(): void;
  /** The kind of web page that sent the request, if any. */
  page: PageOrigin;
}

export const stateOf = (res: Response): RequestState => res.locals.state as RequestState;

export function beginState(res: Response, requestId: string, call: AbortController): RequestState {
  const state: RequestState = {
    requestId,
    signal: call.signal,
    abort: (reason) => call.abort(reason),
    route: null,
    caller: null,
    callerFailure: null,
    rate: null,
    holdOpen: () => undefined,
    page: 'none',
  };
  res.locals.state = state;
  return state;
}
