// What is known of a request while it is being answered. It lives in `res.locals`, typed here.
import type { Response } from 'express';
import type { ApiError } from '../contracts/errors.ts';
import type { Caller } from '../services/ports.ts';
import type { PageOrigin } from './origins.ts';
import type { RateWindow } from './rate-limit.ts';

export interface RequestState {
  requestId: string;
  /** Aborts when the client is gone, the server stops, or `abort` was called. */
  signal: AbortSignal;
  /** Ends the call with an error of the API: what was not sent yet is not sent. */
  abort(reason: ApiError): void;
  /** The route's pattern once it is known: paths and queries hold ids and filters, and stay out of logs. */
  route: string | null;
  caller: Caller | null;
  /** Why there is no caller; thrown only when the route needs one. */
  callerFailure: unknown;
  rate: RateWindow | null;
  /** Counts the call to what its caller holds open, until it is closed. @throws ApiError `rate_limited` */
  holdOpen(): void;
  /** The web page that sent the request, if one did. */
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
