// The Express application: the checks of every request, and the routes in one list.
import express, { type Express, type RequestHandler, type Router } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { ApiError } from '../contracts/errors.ts';
import type { Services } from '../services/ports.ts';
import { presentedKey } from './authenticate.ts';
import { type Capacity, capacityOf } from './capacity.ts';
import { networkOf } from './client-network.ts';
import type { Connections } from './connections.ts';
import { createCors } from './cors.ts';
import type { Method, Route } from './define-route.ts';
import { createErrorHandler, noSuchRoute } from './errors.ts';
import { createKeyWatch, type KeyWatch } from './key-watch.ts';
import { notYetRouter } from './not-yet.ts';
import { createOpenCalls, type OpenCalls } from './open-calls.ts';
import { createOpenShares, type OpenShares } from './open-shares.ts';
import {
  type CountCall,
  type CountTogether,
  countCaller,
  createRateLimit,
  setRateHeaders,
} from './rate-limit.ts';
import { createRequestId } from './request-id.ts';
import { stateOf } from './request-state.ts';
import { createRoutes } from './routes/index.ts';
import { type ProbeDeps, probeRoutes } from './routes/probes.ts';
import { runRoute } from './run-route.ts';
import { openSocket, SOCKET_PATH } from './websocket/route.ts';

interface AppSettings {
  rateLimitPerMinute: number;
  /** Addresses or CIDRs of proxies whose X-Forwarded-For is trusted. */
  trustedProxies: string[];
  /** Origins of web pages that may call this server and read its responses. */
  corsOrigins: string[];
  /** Development only: pages on localhost may call with client tokens. */
  allowLocalPages?: boolean;
  /** Limit for all connections. Null: the default of `capacityOf`. */
  maxConnections?: number | null;
  version: string;
  /** Signs cursors. All processes that serve an account share the secret. */
  cursorSecret: Buffer;
  /** How long a synchronous call waits. For the documentation only, because the service enforces the time. */
  syncWaitSeconds: number;
}

interface AppDeps {
  services: Services;
  /** Counts the calls of all processes. Without it each process counts its own calls. */
  countTogether?: CountTogether | undefined;
  log: Logger;
  settings: AppSettings;
}

/** @returns an application that doesn't listen yet. See `listen` in `server.ts`. */
export function createApp({ services, countTogether, log, settings }: AppDeps): Express {
  const authenticate: Services['authenticate'] = (presented) => services.authenticate(presented);
  const watch = createKeyWatch(authenticate);
  const count = createRateLimit(settings.rateLimitPerMinute, countTogether);
  const capacity = capacityOf(settings.maxConnections ?? null);
  return assemble({
    log,
    capacity,
    trustedProxies: settings.trustedProxies,
    guards: [
      createCors({ listed: settings.corsOrigins, allowLocal: settings.allowLocalPages === true }),
      identify({ authenticate, watch, count, shares: createOpenShares(capacity) }),
      refuseAboveCapacity,
      requireHost,
    ],
    routers: [
      notYetRouter(),
      routerOf(createRoutes({ services, settings })),
      socketRouter(openSocket({ services, count, log })),
    ],
  });
}

/** For a process that only its process manager calls. */
export const createProbeApp = ({ services, log }: ProbeDeps & Pick<AppDeps, 'log'>): Express =>
  assemble({
    log,
    capacity: capacityOf(null),
    trustedProxies: [],
    guards: [requireHost],
    routers: [routerOf(probeRoutes({ services }))],
  });

interface Parts extends Pick<AppSettings, 'trustedProxies'> {
  log: Logger;
  capacity: Capacity;
  /** Run before the routes, in this order. */
  guards: RequestHandler[];
  routers: Router[];
}

function assemble({ log, capacity, trustedProxies, guards, routers }: Parts): Express {
  const app = express();
  configure(app, trustedProxies);
  const openCalls = createOpenCalls();
  app.locals.openCalls = openCalls satisfies OpenCalls;
  app.locals.capacity = capacity satisfies Capacity;
  app.use(createRequestId(log, openCalls));
  app.use(securityHeaders());
  app.use(...guards);
  app.use(...routers);
  app.use(() => {
    throw noSuchRoute();
  });
  app.use(createErrorHandler(log));
  return app;
}

function configure(app: Express, trustedProxies: string[]): void {
  app.disable('x-powered-by');
  // Routes with an ETag set the header themselves, so errors and lists have none.
  app.disable('etag');
  // `readQuery` is strict where Express guesses.
  app.set('query parser', false);
  app.set('trust proxy', trustedProxies.length > 0 ? trustedProxies : false);
}

/** Responses are JSON for programs. The proxy that ends TLS decides whether TLS is obligatory. */
const securityHeaders = () =>
  helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"] },
    },
    strictTransportSecurity: false,
    xFrameOptions: { action: 'deny' },
  });

/**
 * Node's own check would answer without our envelope, so `server.ts` turns the check off. With two hosts, a proxy could have
 * used the other host.
 */
const requireHost: RequestHandler = (req, _res, next) => {
  const { host: hosts = [] } = req.headersDistinct;
  if (hosts.length === 0 && req.httpVersion === '1.1')
    throw new ApiError('invalid_request', 'The Host header is required', { param: 'Host' });
  if (hosts.length > 1)
    throw new ApiError('invalid_request', 'The Host header is given more than once', { param: 'Host' });
  next();
};

/** When a client may retry while every connection is in use. */
const FULL_RETRY_AFTER_SECONDS = 5;

/** Probes still get an answer: a full server is alive and needs no restart. */
const refuseAboveCapacity: RequestHandler = (req, res, next) => {
  const { connections } = req.app.locals as { connections?: Connections };
  if (!connections?.isAboveCapacity(req.socket)) return next();
  res.set('Connection', 'close');
  if (!isVersioned(req.path)) return next();
  throw new ApiError('unavailable', 'All connections of this server are in use; retry later', {
    retryAfterSeconds: FULL_RETRY_AFTER_SECONDS,
  });
};

interface IdentifyDeps {
  authenticate: Services['authenticate'];
  watch: KeyWatch;
  count: CountCall;
  shares: OpenShares;
}

/**
 * Identifies the caller and counts the call before any decision, so that every response has the rate headers. A refusal is only
 * stored here, because unknown routes take precedence.
 */
function identify({ authenticate, watch, count, shares }: IdentifyDeps): RequestHandler {
  return async (req, res, next) => {
    if (!isVersioned(req.path)) return next();
    const state = stateOf(res);
    try {
      const key = presentedKey(req);
      const caller = await authenticate(key);
      state.caller = caller;
      state.holdOpen = () => {
        if (!res.destroyed) res.once('close', shares.enter(caller, networkOf(req.ip)));
      };
      const unwatch = watch.add(key, state.abort);
      // The client disconnected during authentication, so `close` won't fire again.
      if (res.destroyed) unwatch();
      else res.once('close', unwatch);
    } catch (failure) {
      state.callerFailure = failure;
    }
    state.rate = state.caller
      ? await countCaller(count, state.caller)
      : await count(`address:${networkOf(req.ip)}`);
    setRateHeaders(res, state.rate);
    next();
  };
}

const isVersioned = (path: string): boolean => path === '/v1' || path.startsWith('/v1/');

/** `/V1`, `//v1` and a trailing slash are different paths, and none of them exists. */
const createRouter = (): Router => express.Router({ caseSensitive: true, strict: true });

function routerOf(routes: readonly Route[]): Router {
  const router = createRouter();
  for (const path of new Set(routes.map((route) => route.path))) {
    const here = routes.filter((route) => route.path === path);
    const entry = router.route(path);
    for (const route of here) entry[route.method](runRoute(route));
    entry.all(
      refuseMethod(
        path,
        here.map((route) => route.method),
      ),
    );
  }
  return router;
}

/** Separate from the routes, because the OpenAPI document made from them can't describe a WebSocket. */
const socketRouter = (open: RequestHandler): Router =>
  createRouter()
    .get(SOCKET_PATH, open)
    .all(SOCKET_PATH, refuseMethod(SOCKET_PATH, ['get']));

function refuseMethod(path: string, methods: readonly Method[]): RequestHandler {
  const allow = methods.flatMap((method) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]));
  return (req, res) => {
    stateOf(res).route = path;
    throw new ApiError(
      'method_not_allowed',
      `${req.method} is not allowed here. Allowed: ${allow.join(', ')}`,
      {
        allow,
      },
    );
  };
}
