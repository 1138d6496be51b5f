// What is known of a request while it is being answered. It lives in `res.locals`, typed here.
import type { Response } from 'express';
import type { Caller } from '../services/ports.ts';
import type { RateWindow } from './rate-limit.ts';

export interface RequestState {
  requestId: string;
  /** Aborts when the client is gone or the server stops. */
  signal: AbortSignal;
  /** The route's pattern once it is known: paths and queries hold ids and filters, and stay out of logs. */
  route: string | null;
  caller: Caller | null;
  /** Why there is no caller; thrown only when the route needs one. */
  callerFailure: unknown;
  rate: RateWindow | null;
}

export const stateOf = (res: Response): RequestState => res.locals.state as RequestState;

export function beginState(res: Response, requestId: string, signal: AbortSignal): RequestState {
  const state: RequestState = {
    requestId,
    signal,
    route: null,
    caller: null,
    callerFailure: null,
    rate: null,
  };
  res.locals.state = state;
  return state;
}
