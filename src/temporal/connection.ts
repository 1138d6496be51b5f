// The client's connection to Temporal, and a watch on whether it answers.
import { Connection } from '@temporalio/client';
import type { NativeConnectionOptions } from '@temporalio/worker';
import type { Logger } from 'pino';

/** How stale the knowledge of Temporal's health may be: a write accepted in this time is saved by the sweep. */
const CHECK_INTERVAL_MS = 1_000;
/** A healthy server answers in milliseconds; one that needs longer than this can't take work now. */
const CHECK_TIMEOUT_MS = 900;

/** After a restart of the server the client is back within a second, not after gRPC's default of up to two minutes. */
const RECONNECT = { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 1_000 };

/** Where Temporal is and how to get in: what the client and the worker both understand. */
export type TemporalAddress = Pick<NativeConnectionOptions, 'address' | 'tls' | 'apiKey' | 'metadata'>;

export interface TemporalHealth {
  ok: boolean;
  error: string | null;
}

export type TemporalConnection = Awaited<ReturnType<typeof connectTemporal>>;

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** @throws when the server does not answer at the first try. */
export async function connectTemporal(options: TemporalAddress, log: Logger) {
  const connection = await Connection.connect({
    ...options,
    channelArgs: RECONNECT,
  });
  let health: TemporalHealth = { ok: true, error: null };
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  function set(next: TemporalHealth): void {
    if (next.ok !== health.ok && !closed)
      log[next.ok ? 'info' : 'warn'](
        { error: next.error },
        next.ok ? 'Temporal answers again' : 'Temporal is away',
      );
    health = next;
  }

  async function check(): Promise<TemporalHealth> {
    try {
      const deadline = Date.now() + CHECK_TIMEOUT_MS;
      await connection.withDeadline(deadline, () => connection.workflowService.getSystemInfo({}));
      set({ ok: true, error: null });
    } catch (error) {
      set({ ok: false, error: words(error) });
    }
    return health;
  }

  function watch(): void {
    if (closed) return;
    timer = setTimeout(() => check().finally(watch), CHECK_INTERVAL_MS);
    timer.unref();
  }
  watch();

  return {
    connection,
    health: () => health,
    check,
    /** A call has just failed for want of a server: no need to wait for the next check. */
    markAway: (error: unknown) => set({ ok: false, error: words(error) }),
    async close() {
      closed = true;
      clearTimeout(timer);
      await connection.close();
    },
  };
}
