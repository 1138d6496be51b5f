// The client's connection to Temporal. Every call goes through `call`, which updates Temporal's health from the result.
import {
  Connection,
  type ConnectionOptions,
  defaultGrpcRetryOptions,
  isGrpcServiceError,
  makeGrpcRetryInterceptor,
} from '@temporalio/client';
import type { NativeConnectionOptions } from '@temporalio/worker';
import type { Logger } from 'pino';

/** The longest time between checks of Temporal's health. The reconciler saves writes accepted in this time. */
const CHECK_INTERVAL_MS = 1_000;
/** A healthy server responds in milliseconds. A slower server can't take work now. */
const CHECK_TIMEOUT_MS = 900;
/** An error this long after the deadline means that this process was busy. The response may have arrived unread. */
const HEARD_LATE_MS = 100;
/** For the start. Later outages are waited out, but a wrong address stays wrong. */
const CONNECT_TIMEOUT_MS = 5_000;
/** Attempts of one call, over about a second. Longer outages are left to the reconciler, so clients don't wait. */
const ATTEMPTS_MAX = 4;
/**
 * gRPC's UNAVAILABLE: no server. DEADLINE_EXCEEDED doesn't count, because a query waits for a worker, and one dead or busy worker
 * would cause the refusal of all writes. `check` detects a hanging server, as its call needs no worker.
 */
const UNAVAILABLE = 14;

/** After a restart of the server the client reconnects within a second. gRPC's default is up to two minutes. */
const RECONNECT = { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 1_000 };

/**
 * gRPC would send even loopback calls through a proxy from the environment (`http_proxy`, `grpc_proxy`). The worker's native
 * client ignores these variables, so both clients connect directly.
 */
export const WITHOUT_PROXY = { 'grpc.enable_http_proxy': 0 };

/** Temporal's address and credentials, in the form shared by the client and the worker. */
export type TemporalAddress = Pick<NativeConnectionOptions, 'address' | 'tls' | 'apiKey' | 'metadata'>;

export interface TemporalHealth {
  ok: boolean;
  error: string | null;
}

export type TemporalConnection = Awaited<ReturnType<typeof connectTemporal>>;

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** True if the call failed because the server was unreachable. The client wraps gRPC's error. */
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

/** @throws {Error} naming TEMPORAL_ADDRESS if the server doesn't respond in time. */
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
      // Reports the outage without waiting for the next check.
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
    /** Waits for calls in flight: a retry on a closed channel would end the process. */
    async close() {
      closing = true;
      clearTimeout(timer);
      await Promise.allSettled([...underWay]);
      await connection.close();
    },
  };
}
