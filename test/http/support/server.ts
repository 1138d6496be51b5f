// The real application on a free port, over the fake services, and a client that shows everything of an answer.
import { connect } from 'node:net';
import { Writable } from 'node:stream';
import pino from 'pino';
import { createApp } from '../../../src/http/app.ts';
import type { CountTogether } from '../../../src/http/rate-limit.ts';
import { type HttpServer, listen } from '../../../src/http/server.ts';
import { createFake, type Fake } from './fake-services.ts';

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  body: any;
}

export interface CallOptions {
  /** A name of the fake's callers; null sends no key. */
  key?: string | null;
  /** Sent as JSON, unless it is a string or bytes. */
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Harness extends Fake {
  url: string;
  http: HttpServer;
  logs: Record<string, unknown>[];
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  fetch(method: string, path: string, options?: CallOptions): Promise<Response>;
  /** Sends bytes as they are and gives all that comes back. */
  raw(text: string): Promise<string>;
  close(): Promise<void>;
}

export interface HarnessOptions {
  rateLimitPerMinute?: number;
  trustedProxies?: string[];
  countTogether?: CountTogether;
  corsOrigins?: string[];
  allowLocalPages?: boolean;
  maxConnections?: number;
}

export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const fake = createFake();
  const logs: Record<string, unknown>[] = [];
  const app = createApp({
    services: fake.services,
    countTogether: options.countTogether,
    log: pino({}, collect(logs)),
    settings: {
      rateLimitPerMinute: options.rateLimitPerMinute ?? 100_000,
      trustedProxies: options.trustedProxies ?? [],
      corsOrigins: options.corsOrigins ?? [],
      allowLocalPages: options.allowLocalPages ?? false,
      maxConnections: options.maxConnections ?? null,
      version: '0.1.0',
      cursorSecret: Buffer.alloc(32, 7),
      syncWaitSeconds: 240,
    },
  });
  const http = await listen(app, { host: '127.0.0.1', port: 0 });
  const send = (method: string, path: string, call: CallOptions = {}) =>
    request(http.url, method, path, call);
  return {
    ...fake,
    url: http.url,
    http,
    logs,
    fetch: send,
    call: async (method, path, call) => read(await send(method, path, call)),
    raw: (text) => exchange(http.port, text),
    close: () => http.close(),
  };
}

const collect = (logs: Record<string, unknown>[]): Writable =>
  new Writable({
    write(chunk, _encoding, done) {
      logs.push(JSON.parse(String(chunk)));
      done();
    },
  });

function request(url: string, method: string, path: string, options: CallOptions): Promise<Response> {
  const { key = 'a-admin', body, headers = {} } = options;
  const isRaw = typeof body === 'string' || ArrayBuffer.isView(body);
  return fetch(url + path, {
    method,
    headers: {
      ...(key !== null && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? undefined : isRaw ? (body as string) : JSON.stringify(body),
  });
}

async function read(response: Response): Promise<Answer> {
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') && text !== '';
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson ? JSON.parse(text) : null,
  };
}

function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let received = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      received += chunk;
    });
    socket.on('close', () => resolve(received));
    socket.on('error', reject);
  });
}

/** Holds an answer to the error envelope: exact keys in their order, and a request id. */
export function expectError(answer: Answer, status: number, code: string, param: string | null = null): void {
  expect({ status: answer.status, code: answer.body?.error?.code, param: answer.body?.error?.param }).toEqual(
    {
      status,
      code,
      param,
    },
  );
  expect(Object.keys(answer.body)).toEqual(['error']);
  expect(Object.keys(answer.body.error)).toEqual(['code', 'message', 'param', 'type']);
  expect(answer.headers.get('request-id')).toMatch(/^req_[A-Za-z0-9]{24}$/);
  expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect(answer.headers.get('etag')).toBeNull();
}
