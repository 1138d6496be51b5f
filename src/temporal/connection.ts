// The client's connection to Temporal: every call goes through `call`, which learns from it whether Temporal answers.
import {
  Connection,
  type ConnectionOptions,
  defaultGrpcRetryOptions,
  isGrpcServiceError,
  makeGrpcRetryInterceptor,
} from '@temporalio/client';
import type { NativeConnectionOptions } from '@temporalio/worker';
import type { Logger } from 'pino';

/** How stale the knowledge of Temporal's health may be: a write accepted in this time is saved by the sweep. */
const CHECK_INTERVAL_MS = 1_000;
/** A healthy server answers in milliseconds; one that needs longer than this can't take work now. */
const CHECK_TIMEOUT_MS = 900;
/** Later than this behind the deadline it was this process that was busy; the answer may lie there, unread. */
const HEARD_LATE_MS = 100;
/** At the start: later outages are waited out, a wrong address never mends itself. */
const CONNECT_TIMEOUT_MS = 5_000;
/** Tries of one call, over about a second: longer outages are the sweep's business, not a waiting client's. */
const ATTEMPTS_MAX = 4;
/**
 * gRPC's UNAVAILABLE: nobody is there. DEADLINE_EXCEEDED says less: a query waits for a worker, so one worker that is
 * gone or busy would have all writes refused. A server that hangs is found by `check`, whose call needs no worker.
 */
const UNAVAILABLE = 14;

/** After a restart of the server the client is back within a second, not after gRPC's default of up to two minutes. */
const RECONNECT = { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 1_000 };

/**
 * gRPC would send even calls to loopback through a proxy of the environment (`http_proxy`, `grpc_proxy`). The worker's native
 * client reads no such variable, so a connection goes direct in both.
 */
export const WITHOUT_PROXY = { 'grpc.enable_http_proxy': 0 };

/** Where Temporal is and how to get in: what the client and the worker both understand. */
export type TemporalAddress = Pick<NativeConnectionOptions, 'address' | 'tls' | 'apiKey' | 'metadata'>;

export interface TemporalHealth {
  ok: boolean;
  error: string | null;
}

export type TemporalConnection = Awaited<ReturnType<typeof connectTemporal>>;

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Whether a call failed because nobody was there. The client wraps gRPC's error in one of its own. */
function isAway(error: unknown): boolean {
  const inner = error instanceof Error && error.cause ? error.cause : error;
  return isGrpcServiceError(inner) && inner.code === UNAVAILABLE;
}

async function connect(options: ConnectionOptions): Promise<Connection> {
  try {
    return await Connection.connect({ ...options, connectTimeout: CONNECT_TIMEOUT_MS });
  } catch (cause) {
    const address = options.address ?? 'localhost:7233';
    throw new Error(`TEMPORAL_ADDRESS: Temporal at ${address} can't be used`, { cause });
  }
}

/** @throws {Error} naming TEMPORAL_ADDRESS when the server does not answer in time. */
export async function connectTemporal(options: TemporalAddress, log: Logger) {
  let closing = false;
  const { retryableDecider, delayFunction } = defaultGrpcRetryOptions({ maxAttempts: ATTEMPTS_MAX });
  const retry = makeGrpcRetryInterceptor({
    delayFunction,
    retryableDecider: (attempt, status) => !closing && retryableDecider(attempt, status),
  });
  const connection = await connect({
    ...options,
    channelArgs: { ...RECONNECT, ...WITHOUT_PROXY },
    interceptors: [retry],
  });
  const underWay = new Set<Promise<unknown>>();
  let health: TemporalHealth = { ok: true, error: null };
  let timer: NodeJS.Timeout | undefined;

  function set(next: TemporalHealth): void {
    if (next.ok !== health.ok && !closing)
      log[next.ok ? 'info' : 'warn'](
        { reason: next.error },
        next.ok ? 'Temporal answers again' : 'Temporal is away',
      );
    health = next;
  }

  async function call<T>(work: () => Promise<T>): Promise<T> {
    const promise = work();
    underWay.add(promise);
    try {
      return await promise;
    } catch (error) {
      // No need to wait for the next check.
      if (isAway(error)) set({ ok: false, error: words(error) });
      throw error;
    } finally {
      underWay.delete(promise);
    }
  }

  async function check(): Promise<TemporalHealth> {
    const deadline = Date.now() + CHECK_TIMEOUT_MS;
    try {
      await call(() => connection.withDeadline(deadline, () => connection.workflowService.getSystemInfo({})));
      set({ ok: true, error: null });
    } catch (error) {
      if (Date.now() > deadline + HEARD_LATE_MS) return check();
      set({ ok: false, error: words(error) });
    }
    return health;
  }

  function watch(): void {
    if (closing) return;
    timer = setTimeout(() => check().finally(watch), CHECK_INTERVAL_MS);
    timer.unref();
  }
  watch();

  return {
    connection,
    health: () => health,
    check,
    call,
    /** Waits for calls under way: one that tries again on a closed channel would end the process. */
    async close() {
      closing = true;
      clearTimeout(timer);
      await Promise.allSettled([...underWay]);
      await connection.close();
    },
  };
}
