// The HTTP client for URLs of API clients. Each request is checked, dialled at the checked address, and bounded.
// Redirect policy: a redirect counts as a normal response, because the guard hasn't checked its location.
import type { LookupFunction } from 'node:net';
import { Agent, buildConnector, request } from 'undici';
import { type Address, unwrapped } from './addresses.ts';
import type { AllowList } from './allow-list.ts';
import { allowedAddresses, checkTarget, EgressRefused, type Resolve, resolveName } from './guard.ts';

/** From the DNS query to the last byte of the response. */
const TIMEOUT_MS = 15_000;
/** Only the status of a response is used, so longer bodies are cut off. */
const BODY_BYTES_MAX = 64 * 1024;

export interface PostRequest {
  url: string;
  headers: Record<string, string>;
  body: string;
}

export interface PostAnswer {
  statusCode: number;
  headers: Record<string, string | string[] | undefined>;
}

/** The request got no response. `message` is for the user who named the URL, and contains no address. */
export class PostFailed extends Error {
  override readonly name = 'PostFailed';
}

export interface PosterOptions {
  allowed: AllowList;
  /** Replaces the DNS lookup. */
  resolve?: Resolve | undefined;
  timeoutMs?: number;
}

type Connector = buildConnector.connector;

/** A lookup that returns the checked addresses, whatever DNS says by now. */
const fixed = (addresses: Address[]): LookupFunction =>
  ((_hostname: string, options: { all?: boolean }, done: (...answer: unknown[]) => void) => {
    if (options.all) done(null, addresses);
    else done(null, addresses[0]?.address, addresses[0]?.family);
  }) as LookupFunction;

const originOf = ({ protocol, hostname, port }: buildConnector.Options): URL =>
  new URL(
    `${protocol}//${hostname.includes(':') && !hostname.startsWith('[') ? `[${hostname}]` : hostname}${port ? `:${port}` : ''}`,
  );

/** Dials only addresses the guard allows, and verifies the peer's address afterwards. */
function guardedConnector(allowed: AllowList, resolve: Resolve, timeoutMs: number): Connector {
  async function dial(options: buildConnector.Options, done: buildConnector.Callback): Promise<void> {
    const url = originOf(options);
    const addresses = await allowedAddresses(url, allowed, resolve);
    const connect = buildConnector({
      timeout: timeoutMs,
      lookup: fixed(addresses),
      autoSelectFamily: addresses.length > 1,
      maxCachedSessions: 0,
    } as buildConnector.BuildOptions);
    connect(options, (...[error, socket]) => {
      if (!socket) return done(error ?? new Error('No connection'), null);
      const peer = unwrapped(socket.remoteAddress ?? '');
      if (peer && addresses.some(({ address }) => address === peer.address)) return done(null, socket);
      socket.destroy();
      done(new EgressRefused('its host has no public address'), null);
    });
  }
  return (options, done) => {
    dial(options, done).catch((error: Error) => done(error, null));
  };
}

/** Reads to the end of the body, but little more than `BODY_BYTES_MAX`. */
async function drain(body: AsyncIterable<Uint8Array> & { destroy(): void }): Promise<void> {
  let sizeBytes = 0;
  for await (const chunk of body) {
    sizeBytes += chunk.length;
    if (sizeBytes > BODY_BYTES_MAX) break;
  }
  body.destroy();
}

const WORDS: Record<string, string> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was reset',
  UND_ERR_SOCKET: 'the connection was closed before an answer',
  ENOTFOUND: 'its host has no public address',
  EHOSTUNREACH: 'its host can not be reached',
  ENETUNREACH: 'its host can not be reached',
  ETIMEDOUT: 'the connection timed out',
  UND_ERR_CONNECT_TIMEOUT: 'the connection timed out',
};

function words(error: unknown, timeoutMs: number): string {
  if (error instanceof EgressRefused) return `The URL was not called: ${error.message}`;
  const { name, code } = error as { name?: string; code?: string };
  if (name === 'TimeoutError') return `There was no whole answer within ${timeoutMs / 1_000} seconds`;
  if (name === 'HTTPParserError') return 'The request failed: the answer is not HTTP';
  if (code === undefined) return 'The request failed';
  const isTls = code.startsWith('ERR_TLS') || code.startsWith('ERR_SSL') || code.includes('CERT');
  return `The request failed: ${WORDS[code] ?? (isTls ? `TLS, ${code}` : code)}`;
}

export type Poster = ReturnType<typeof createPoster>;

export function createPoster({ allowed, resolve = resolveName, timeoutMs = TIMEOUT_MS }: PosterOptions) {
  const dispatcher = new Agent({
    connect: guardedConnector(allowed, resolve, timeoutMs),
    // One connection per request, so no connection outlives its check. A peer also can't close an idle connection under a
    // request.
    pipelining: 0,
  });

  async function send({ url, headers, body }: PostRequest, signal: AbortSignal): Promise<PostAnswer> {
    // Refuses early, without a connection. The connector checks again.
    await allowedAddresses(new URL(url), allowed, resolve);
    const answer = await request(url, { method: 'POST', headers, body, dispatcher, signal });
    await drain(answer.body);
    return { statusCode: answer.statusCode, headers: answer.headers };
  }

  return {
    /** Checks whether the URL may be called, as far as possible before a request. @throws {EgressRefused} */
    check: (url: string): Promise<void> => checkTarget(new URL(url), allowed, resolve),
    /** Sends one POST. A redirect counts as a normal response. @throws {PostFailed} without a complete response in time. */
    async post(asked: PostRequest): Promise<PostAnswer> {
      const signal = AbortSignal.timeout(timeoutMs);
      try {
        return await Promise.race([send(asked, signal), aborted(signal)]);
      } catch (error) {
        throw new PostFailed(words(error, timeoutMs), { cause: error });
      }
    },
    close: (): Promise<void> => dispatcher.destroy(),
  };
}

/** Rejects at the timeout, also during a DNS lookup, which can't be cancelled. */
const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
