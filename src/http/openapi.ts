// The OpenAPI 3.1 document, made from the list of routes that the server uses.
import { z } from 'zod';
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponseObject,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi';
import { ERROR_CODES, ErrorBody, type ErrorCode } from '../contracts/errors.ts';
import { ALL_EVENT_NAMES, OPENING_NAME } from '../contracts/events.ts';
import { defineRoute, type JsonAnswer, json, type Route, takesBody } from './define-route.ts';
import { ERROR, STREAM_EVENT } from './examples.ts';
import { IDEMPOTENCY_KEY_FORMS } from './idempotency.ts';
import { REFUSED_AT_THE_SOCKET } from './socket-errors.ts';

export interface DocumentSettings {
  version: string;
  syncWaitSeconds: number;
}

type Document = ReturnType<typeof createDocument>;

/** The document includes its own route. */
export function openApiRoute(others: readonly Route[], settings: DocumentSettings): Route {
  let answer: JsonAnswer<{ openapi: string }> | null = null;
  const self: Route = defineRoute({
    method: 'get',
    path: '/openapi.json',
    level: 'none',
    operationId: 'getOpenApi',
    summary: 'This document',
    tag: 'Documentation',
    response: z.looseObject({ openapi: z.string() }),
    status: 200,
    errors: [],
    etag: true,
    // Made on the first request, because the document costs some hundred milliseconds at a start. The route has no rate limit,
    // so later requests must cost next to nothing.
    async handler() {
      answer ??= { ...json({ ...createOpenApi([...others, self], settings) }), isConstant: true };
      return answer;
    },
  });
  return self;
}

function createOpenApi(routes: readonly Route[], settings: DocumentSettings): Document {
  return createDocument(
    {
      openapi: '3.1.0',
      info: infoOf(settings),
      servers: [{ url: '/' }],
      tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
      paths: pathsOf(routes),
      components: { securitySchemes: SECURITY_SCHEMES, schemas: { Error: ErrorBody } },
    },
    {
      // Responses may gain fields within v1, so clients must accept unknown fields.
      override: ({ jsonSchema, io }) => {
        if (io === 'output' && jsonSchema.additionalProperties === false)
          delete jsonSchema.additionalProperties;
      },
    },
  );
}

/** Clients recognize an OpenClaw server by this title. */
export const API_TITLE = 'OpenClaw API';

const infoOf = ({ version, syncWaitSeconds }: DocumentSettings) => ({
  title: API_TITLE,
  version,
  license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  description:
    'Durable conversations with Claude. Every error has the same four keys. A synchronous message is answered ' +
    `with 202 after ${syncWaitSeconds} seconds and goes on.`,
});

const SECURITY_SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer', description: 'An API key, `oclaw_live_...`, or a client token' },
  apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'The same key without `Bearer`' },
} as const;

function pathsOf(routes: readonly Route[]): ZodOpenApiPathsObject {
  const paths: ZodOpenApiPathsObject = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method]: operationOf(route) };
  }
  return paths;
}

function operationOf(route: Route): ZodOpenApiOperationObject {
  const names = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => name as string);
  return {
    operationId: route.operationId,
    summary: route.summary,
    ...(route.description && { description: route.description }),
    tags: [route.tag],
    security: route.level === 'none' ? [] : [{ bearer: [] }, { apiKey: [] }],
    'x-level': route.level,
    ...(route.clientScope && { 'x-client-scope': route.clientScope }),
    requestParams: {
      path: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))),
      query: route.query as z.ZodObject,
      ...(route.idempotent && { header: z.object({ 'Idempotency-Key': IDEMPOTENCY_KEY }) }),
      ...(route.resumes && { header: z.object({ 'Last-Event-ID': LAST_EVENT_ID }) }),
    },
    ...(takesBody(route) && { requestBody: requestBodyOf(route) }),
    responses: responsesOf(route),
  };
}

const IDEMPOTENCY_KEY = z
  .string()
  .min(1)
  .max(255)
  .regex(IDEMPOTENCY_KEY_FORMS)
  .optional()
  .meta({ description: 'A retry with the same key and body gets the same resource; kept for 24 hours' });

const LAST_EVENT_ID = z
  .string()
  .regex(/^\d{1,15}$/)
  .optional()
  .meta({ description: 'Of a stream: goes on after this event, whatever `after` says' });

const requestBodyOf = ({ body, examples, method }: Route) => ({
  required: method === 'post',
  content: { 'application/json': { schema: body, ...(examples?.request && { example: examples.request }) } },
});

function responsesOf(route: Route): ZodOpenApiResponsesObject {
  const responses: Record<string, ZodOpenApiResponseObject> = {};
  for (const [status, codes] of errorsByStatus(route)) responses[status] = errorResponse(route, codes);
  for (const { status, message } of REFUSED_AT_THE_SOCKET) responses[status] = refusedResponse(message);
  for (const [status, description] of Object.entries(route.otherStatuses ?? {}))
    responses[status] = { ...successOf(route, { isOther: true }), description };
  responses[route.status] = successOf(route, { isOther: false });
  return responses as ZodOpenApiResponsesObject;
}

/** OpenAPI 3.1 can't describe the items of a stream, so the schema describes a single event. */
const StreamEvent = z
  .object({
    id: z
      .string()
      .regex(/^\d+$/)
      .optional()
      .meta({ description: `The seq of the event; \`${OPENING_NAME}\` has none` }),
    event: z.enum([...ALL_EVENT_NAMES, OPENING_NAME]),
    data: z.string().meta({ contentMediaType: 'application/json' }),
  })
  .meta({ id: 'StreamEvent', description: 'One server-sent event' });

function successOf(route: Route, { isOther }: { isOther: boolean }): ZodOpenApiResponseObject {
  const example = isOther ? undefined : route.examples?.response;
  return {
    description: route.summary,
    headers: headersOf(route, {
      ...(route.etag && { ETag: z.string() }),
      ...((route.status === 201 || isOther || route.streams) && { Location: z.string().optional() }),
      ...(route.idempotent && { 'Idempotent-Replayed': z.literal('true').optional() }),
    }),
    content: {
      'application/json': { schema: route.response, ...(example && { example }) },
      ...(route.streams &&
        !isOther && { 'text/event-stream': { schema: StreamEvent, example: STREAM_EVENT } }),
    },
  };
}

function errorResponse(route: Route, codes: readonly ErrorCode[]): ZodOpenApiResponseObject {
  const status = ERROR_CODES[codes[0] as ErrorCode].status;
  return {
    description: codes.map((code) => `\`${code}\``).join(', '),
    headers: headersOf(route, {
      ...((status === 429 || status === 503) && {
        'Retry-After': z.string().meta({ description: 'Seconds' }),
      }),
      ...(status === 405 && { Allow: z.string() }),
      ...(status === 401 && { 'WWW-Authenticate': z.string() }),
    }),
    content: { 'application/json': { schema: ErrorBody, ...(status === 400 && { example: ERROR }) } },
  };
}

/** Sent before the caller and the route are known, so without rate headers. */
const refusedResponse = (description: string): ZodOpenApiResponseObject => ({
  description,
  headers: z.object({ 'request-id': REQUEST_ID }),
  content: { 'application/json': { schema: ErrorBody } },
});

const REQUEST_ID = z.string().regex(/^req_[A-Za-z0-9]{24}$/);
const RATE_HEADER = z.string().regex(/^\d+$/);

const headersOf = (route: Route, more: Record<string, z.ZodType>) =>
  z.object({
    'request-id': REQUEST_ID,
    ...(route.path.startsWith('/v1/') && {
      'X-RateLimit-Limit': RATE_HEADER,
      'X-RateLimit-Remaining': RATE_HEADER,
      'X-RateLimit-Reset': RATE_HEADER.meta({ description: "Unix seconds of the window's end" }),
    }),
    ...more,
  });

/** The errors common to routes of this kind, and the route's own errors. */
function errorsByStatus(route: Route): Map<string, ErrorCode[]> {
  const byStatus = new Map<string, ErrorCode[]>();
  for (const code of new Set([...commonErrors(route), ...route.errors])) {
    const status = String(ERROR_CODES[code].status);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return byStatus;
}

const commonErrors = (route: Route): ErrorCode[] => [
  'invalid_request',
  'method_not_allowed',
  'not_acceptable',
  'internal_error',
  'payload_too_large',
  'unsupported_media_type',
  ...(route.level === 'none'
    ? []
    : ([
        'missing_api_key',
        'invalid_api_key',
        'expired_api_key',
        'insufficient_permissions',
        'rate_limited',
        'unavailable',
      ] as const)),
  ...(route.idempotent ? (['idempotency_key_reused'] as const) : []),
];
