// Gives each request an id and a line in the access log.
import type { RequestHandler } from 'express';
import type { Logger } from 'pino';
import { newId } from '../ids.ts';
import type { OpenCalls } from './open-calls.ts';
import { beginState } from './request-state.ts';

export const REQUEST_ID_HEADER = 'request-id';

export function createRequestId(log: Logger, openCalls: OpenCalls): RequestHandler {
  return (req, res, next) => {
    const startedAt = performance.now();
    const state = beginState(res, newId('req'), openCalls.track(res));
    res.set(REQUEST_ID_HEADER, state.requestId);
    // `close` fires for every response, even if the client didn't wait for the end.
    res.once('close', () => {
      log.info(
        {
          method: req.method,
          route: state.route,
          status: res.statusCode,
          duration_ms: Math.round(performance.now() - startedAt),
          request_id: state.requestId,
          key_id: state.caller?.keyId ?? null,
          // Either side may end a WebSocket at any time, so its end isn't an abort.
          aborted: !res.writableFinished && res.statusCode !== 101,
        },
        'request',
      );
    });
    next();
  };
}
