// A route as data: one definition is the handler, the checks of what comes in and goes out, and the documentation.
import { z } from 'zod';
import type { Level } from '../contracts/api-keys.ts';
import type { ClientScope } from '../contracts/client-tokens.ts';
import type { ErrorCode } from '../contracts/errors.ts';
import type { EventNames, SessionEvent } from '../contracts/events.ts';
import type { Caller, Idempotency } from '../services/ports.ts';

export type Method = 'get' | 'post' | 'patch' | 'delete';

/** The names after colons in a path pattern. */
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
  /** Null only on routes that need no key. */
  caller: CalledBy;
  idempotency: Idempotency | null;
  /** The client's preferences (RFC 7240), as received. */
  prefer: string;
  /** The client prefers server-sent events to JSON; only on routes that can stream. */
  wantsStream: boolean;
  /** Where a reader of a stream goes on, as received. */
  lastEventId: string | null;
  /** Aborts when the client is gone or the server stops. */
  signal: AbortSignal;
  /**
   * Counts a stream, or a call that waits for the end of a turn, to what its caller holds open. To be called before anything is
   * accepted. @throws ApiError `rate_limited`
   */
  holdOpen(): void;
}

export interface JsonAnswer<T> {
  kind: 'json';
  body: T;
  /** The handler gives this very object to each call: it is checked and written once. */
  isConstant?: true;
  /** Where it differs from the route's own. */
  status?: number;
  headers?: Record<string, string>;
}

export interface StreamAnswer {
  kind: 'stream';
  events: AsyncIterable<SessionEvent>;
  headers: Record<string, string>;
  names: EventNames;
  /** Of a stream that follows the log: its first frame says where the log ends. */
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

/** Who may call. */
export interface Access {
  level: 'none' | Level;
  /** A client token with this scope may call it too, for the sessions that it names; the path has `:sessionId`. */
  clientScope?: ClientScope;
}

/** What the checks and the documentation need of a route, whatever its types. */
interface RouteFacts extends Access {
  method: Method;
  path: string;
  operationId: string;
  summary: string;
  description?: string;
  tag: string;
  status: 200 | 201 | 202;
  /** Statuses beside `status` with the same kind of body, and when they are given. */
  otherStatuses?: Record<number, string>;
  /** What this route alone can fail with; what every route can is added where it is documented. */
  errors: ErrorCode[];
  /** One resource: its GET has an ETag. */
  etag?: boolean;
  /** Can answer with server-sent events. */
  streams?: boolean;
  /** Its stream goes on after the event of a `Last-Event-ID`. */
  resumes?: boolean;
  examples?: { request?: Record<string, unknown>; response?: Record<string, unknown> };
}

export interface Route extends RouteFacts {
  /** Takes `Idempotency-Key`: every write of a caller does. */
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

/** Without fields: any parameter, and any body but none or `{}`, is refused by name, on GET and DELETE too. */
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
    // The pipeline parses with the very schemas that typed the handler.
    handler: handler as unknown as Route['handler'],
  };
}

/** Whether a route has body fields at all. */
export const takesBody = (route: Route): boolean => route.body !== Nothing;
