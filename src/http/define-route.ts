// A route as data: one definition holds the handler, the checks of input and output, and the documentation.
import { z } from 'zod';
import type { Level } from '../contracts/api-keys.ts';
import type { ClientScope } from '../contracts/client-tokens.ts';
import type { ErrorCode } from '../contracts/errors.ts';
import type { EventNames, SessionEvent } from '../contracts/events.ts';
import type { Caller, Idempotency } from '../services/ports.ts';

export type Method = 'get' | 'post' | 'patch' | 'delete';

/** Parameter names, after colons in a path pattern. */
type PathParams<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? { [key in Name]: string } & PathParams<`/${Rest}`>
  : Path extends `${string}:${infer Name}`
    ? { [key in Name]: string }
    : unknown;

export interface Call<Params, Query, Body, CalledBy> {
  params: Params;
  query: Query;
  body: Body;
  /** The concrete path, without the query. */
  path: string;
  /** Null only on routes without a key. */
  caller: CalledBy;
  idempotency: Idempotency | null;
  /** The client's preferences (RFC 7240), as received. */
  prefer: string;
  /** The client prefers server-sent events to JSON. Set only on routes that can stream. */
  wantsStream: boolean;
  /** `Last-Event-ID`, as received. */
  lastEventId: string | null;
  /** Aborts when the client disconnects, the server stops or the key ends. */
  signal: AbortSignal;
  /**
   * Counts a stream or a waiting call against the caller's open calls. Call this before accepting anything.
   * @throws ApiError `rate_limited`
   */
  holdOpen(): void;
}

export interface JsonAnswer<T> {
  kind: 'json';
  body: T;
  /** The handler returns this same object to each call, so it is checked and written only once. */
  isConstant?: true;
  /** Overrides the route's own status. */
  status?: number;
  headers?: Record<string, string>;
}

export interface StreamAnswer {
  kind: 'stream';
  events: AsyncIterable<SessionEvent>;
  headers: Record<string, string>;
  names: EventNames;
  /** Set on streams that follow the log: the seq of its last event, for the first frame. */
  tailSeq?: number;
}

export const json = <T>(body: T, extra: { status?: number; headers?: Record<string, string> } = {}) =>
  ({ kind: 'json', body, ...extra }) satisfies JsonAnswer<T>;

export const stream = (
  events: AsyncIterable<SessionEvent>,
  { headers = {}, names }: { headers?: Record<string, string>; names: EventNames },
): StreamAnswer => ({ kind: 'stream', events, headers, names });

export const logStream = (
  events: AsyncIterable<SessionEvent>,
  { tailSeq, names }: { tailSeq: number; names: EventNames },
): StreamAnswer => ({ ...stream(events, { names }), tailSeq });

/** The callers a route accepts. */
export interface Access {
  level: 'none' | Level;
  /** A client token with this scope may also call the route, for its own sessions. The path has `:sessionId`. */
  clientScope?: ClientScope;
}

/** The parts of a route that checks and documentation need, independent of its types. */
interface RouteFacts extends Access {
  method: Method;
  path: string;
  operationId: string;
  summary: string;
  description?: string;
  tag: string;
  status: 200 | 201 | 202;
  /** Other statuses with the same kind of body, and their reasons. */
  otherStatuses?: Record<number, string>;
  /** Errors of this route alone. The documentation adds the errors common to all routes. */
  errors: ErrorCode[];
  /** One resource: its GET has an ETag. */
  etag?: boolean;
  /** Can answer with server-sent events. */
  streams?: boolean;
  /** Its stream resumes after `Last-Event-ID`. */
  resumes?: boolean;
  examples?: { request?: Record<string, unknown>; response?: Record<string, unknown> };
}

export interface Route extends RouteFacts {
  /** Takes `Idempotency-Key`, as every authenticated write does. */
  idempotent: boolean;
  query: z.ZodType<object>;
  body: z.ZodType<object>;
  response: z.ZodType;
  handler(
    call: Call<Record<string, string>, object, object, Caller | null>,
  ): Promise<JsonAnswer<unknown> | StreamAnswer>;
}

type CalledBy<L> = L extends 'none' ? null : Caller;

interface Definition<
  Path extends string,
  L extends 'none' | Level,
  Query extends z.ZodType<object>,
  Body extends z.ZodType<object>,
  Response extends z.ZodType,
> extends RouteFacts {
  path: Path;
  level: L;
  query?: Query;
  body?: Body;
  response: Response;
  handler(
    call: Call<PathParams<Path>, z.output<Query>, z.output<Body>, CalledBy<L>>,
  ): Promise<JsonAnswer<z.input<Response>> | StreamAnswer>;
}

/** No fields: any parameter is refused by name, and any body except none or `{}`. This also holds for GET and DELETE. */
const Nothing = z.strictObject({});

export function defineRoute<
  Path extends string,
  L extends 'none' | Level,
  Response extends z.ZodType,
  Query extends z.ZodType<object> = typeof Nothing,
  Body extends z.ZodType<object> = typeof Nothing,
>(definition: Definition<Path, L, Query, Body, Response>): Route {
  const { query, body, handler, ...rest } = definition;
  return {
    ...rest,
    idempotent: rest.method !== 'get' && rest.level !== 'none',
    query: query ?? Nothing,
    body: body ?? Nothing,
    // The pipeline parses with the same schemas that typed the handler.
    handler: handler as unknown as Route['handler'],
  };
}

/** True if the route has body fields. */
export const takesBody = (route: Route): boolean => route.body !== Nothing;
