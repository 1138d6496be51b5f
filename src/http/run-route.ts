// Turns a route into its Express handler. The order of the checks is part of the API: rate, key, level, input, resource.
import { createHash } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { ApiError } from '../contracts/errors.ts';
import { stringifyJson } from '../contracts/json.ts';
import type { Caller } from '../services/ports.ts';
import { requireGranted, requirePermission } from './authenticate.ts';
import { readBody } from './body.ts';
import type { Access, JsonAnswer, Route } from './define-route.ts';
import { readIdempotency } from './idempotency.ts';
import { localPageNeedsToken } from './origins.ts';
import { readQuery } from './query.ts';
import { refuseExceeded } from './rate-limit.ts';
import { type RequestState, stateOf } from './request-state.ts';
import { sendEventStream } from './streams/sse.ts';
import { parseBody, parseInput, QUERY } from './validation.ts';

export function runRoute(route: Route): RequestHandler {
  return async (req, res) => {
    const state = stateOf(res);
    state.route = route.path;
    if (state.rate) refuseExceeded(state.rate);
    const caller = route.level === 'none' ? null : callerOf(route, state);
    const input = await readInput(route, req);
    if (caller) requireGranted(caller, input.params.sessionId);
    const { signal, holdOpen } = state;
    const answer = await route.handler({ ...input, caller, signal, holdOpen });
    refuseEnded(state.signal);
    if (answer.kind === 'stream') await sendEventStream(req, res, answer, state.signal);
    else sendJson(route, req, res, answer);
  };
}

/** If the key ended while the handler ran, the client gets the refusal instead. */
function refuseEnded({ reason }: AbortSignal): void {
  if (reason instanceof ApiError) throw reason;
}

/** @throws ApiError if there is no caller, or if the caller lacks permission. */
export function callerOf(access: Access, { caller, callerFailure, page }: RequestState): Caller {
  if (!caller) throw callerFailure;
  if (page === 'local' && !caller.grant) throw localPageNeedsToken();
  requirePermission(caller, access);
  return caller;
}

/** PostgreSQL refuses NUL in a text. No id contains NUL, so such an id is just unknown. */
export function idsOf(req: Request): Record<string, string> {
  const params = Object.entries(req.params as Record<string, string>);
  return Object.fromEntries(params.map(([name, value]) => [name, value.replaceAll('\0', '?')]));
}

async function readInput(route: Route, req: Request) {
  refuseUnacceptable(route, req);
  const query = parseInput(route.query, readQuery(req.url), QUERY, route.operationId);
  const received = await readBody(req);
  const body = parseBody(route.body, received, route.operationId);
  const target = `${req.method} ${req.path}`;
  return {
    params: idsOf(req),
    query,
    body,
    path: req.path,
    prefer: req.get('prefer') ?? '',
    wantsStream: route.streams === true && req.accepts(ANSWERS) === EVENT_STREAM,
    lastEventId: req.get('last-event-id') ?? null,
    idempotency: route.idempotent
      ? readIdempotency(req.headersDistinct['idempotency-key'], target, received)
      : null,
  };
}

const EVENT_STREAM = 'text/event-stream';
const ANSWERS = ['application/json', EVENT_STREAM];

function refuseUnacceptable(route: Route, req: Request): void {
  const types = route.streams ? ANSWERS : ['application/json'];
  if (req.accepts(types)) return;
  throw new ApiError('not_acceptable', `This call answers with ${types.join(' or ')} only`);
}

/** Removes fields that the schema doesn't name, and throws if a named field is missing. */
function checked(route: Route, body: unknown): unknown {
  const result = route.response.safeParse(body);
  if (result.success) return result.data;
  throw new Error(`The answer of ${route.operationId} does not fit its schema`, { cause: result.error });
}

function sendJson(route: Route, req: Request, res: Response, answer: JsonAnswer<unknown>): void {
  const { bytes, etag } = writtenOf(route, answer);
  res.set(answer.headers ?? {}).status(answer.status ?? route.status);
  // Clients may cache a single resource and revalidate it. Nothing else is worth caching.
  res.set('Cache-Control', route.etag ? 'private, no-cache' : 'no-store');
  if (etag) res.set('ETag', etag);
  if (etag && matches(req.get('if-none-match'), etag)) res.status(304).end();
  else res.type('json').send(bytes);
}

interface Written {
  bytes: Buffer;
  etag: string | undefined;
}

const constants = new WeakMap<JsonAnswer<unknown>, Written>();

function writtenOf(route: Route, answer: JsonAnswer<unknown>): Written {
  const known = constants.get(answer);
  if (known) return known;
  const bytes = Buffer.from(stringifyJson(checked(route, answer.body)));
  const written = { bytes, etag: route.etag ? weakEtag(bytes) : undefined };
  if (answer.isConstant) constants.set(answer, written);
  return written;
}

function weakEtag(bytes: Buffer): string {
  const digest = createHash('sha256').update(bytes).digest('base64url');
  return `W/"${digest.slice(0, 27)}"`;
}

/**
 * Express would not answer 304 to the `Cache-Control: no-cache` that fetch adds by itself, although the header is meant for
 * caches.
 */
function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  const asked = (ifNoneMatch ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return asked.includes('*') || asked.includes(etag.replace(/^W\//, ''));
}
