// The Temporal worker of this process: restarted while the process runs, stopped within a bounded time.
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { Activities } from '../../activities/index.ts';
import { toolsTaskQueue, webhooksTaskQueue } from '../../workflows/protocol.ts';
import type { TemporalAddress } from './connection.ts';

/**
 * After this time any worker may take a task that the session's own worker hasn't taken, and has to replay the session. On a busy
 * machine tasks queue, and a replay costs twenty times as much as the wait, so the time is long. For a worker known to be dead,
 * the stickiness is reset (session-attempts.ts, session-takeover.ts).
 */
const STICKY_TIMEOUT = '5 seconds';
/** Running turns are handed over, not finished. The next worker restarts them immediately. */
const SHUTDOWN_GRACE = '0 seconds';
/** After the activities are told to stop, they have this time to finish. */
const SHUTDOWN_FORCE = '5 seconds';
/** Heartbeats deliver cancellations. At this interval at least two arrive within every heartbeat time-out. */
const HEARTBEAT_THROTTLE = '2 seconds';
const RESTART_BACKOFF_MS = 500;
/**
 * Cached sessions, about 0.3 MB each: far more than a worker answers at once. The others cost only disk space, and a replay at
 * their next message. The SDK's default grows with the heap to several thousand.
 */
const CACHED_SESSIONS_MAX = 600;

/**
 * Workflow tasks in flight per worker. They share one thread, so more tasks don't finish sooner, and each task's time-out starts
 * when it is taken. With Temporal's 40, the many replays after a restart were all late and all wasted.
 */
const WORKFLOW_TASKS_MAX = 6;

interface SessionWorkerDeps {
  connection: TemporalAddress;
  namespace: string;
  taskQueue: string;
  /** Names this worker in Temporal and in the leases of its attempts. Unique for each process. */
  identity: string;
  /** The workflow bundle. Without it the worker runs activities only. */
  bundlePath?: string;
  activities: Partial<Activities>;
  /** Activities in flight in this worker. More wait in Temporal. */
  activitiesMax: number;
  log: Logger;
}

export type WorkersDeps = Omit<SessionWorkerDeps, 'activitiesMax'> & {
  bundlePath: string;
  activities: Activities;
};

export interface SessionWorker {
  /** Whether the worker polls now. */
  health(): { ok: boolean; error: string | null };
  stop(): Promise<void>;
}

let installed = false;

/** Temporal's runtime is process-wide. It must leave our process signals alone, and it logs to our log. */
function installRuntime(log: Logger): void {
  if (installed) return;
  installed = true;
  const logger = new DefaultLogger('WARN', ({ level, message, meta }) => {
    // Two of our workers run activities only, on purpose.
    if (message.startsWith('No workflows registered')) return;
    const { error, ...fields } = meta ?? {};
    log[level === 'ERROR' ? 'error' : 'warn']({ ...fields, err: error }, message);
  });
  // Forwarding turns the native core's output into JSON lines of our log, too.
  const telemetryOptions = { logging: { filter: { core: 'WARN', other: 'WARN' } as const, forward: {} } };
  Runtime.install({ logger, telemetryOptions, shutdownSignals: [] });
}

async function startSessionWorker(deps: SessionWorkerDeps): Promise<SessionWorker> {
  const { log, namespace, taskQueue } = deps;
  installRuntime(log);
  let stopping = false;
  let worker: Worker | undefined;
  let health = { ok: false, error: 'starting' as string | null };

  async function create(connection: NativeConnection): Promise<Worker> {
    return Worker.create({
      connection,
      namespace,
      taskQueue,
      identity: deps.identity,
      ...(deps.bundlePath === undefined ? {} : { workflowBundle: { codePath: deps.bundlePath } }),
      activities: deps.activities,
      maxConcurrentActivityTaskExecutions: deps.activitiesMax,
      maxCachedWorkflows: CACHED_SESSIONS_MAX,
      maxConcurrentWorkflowTaskExecutions: WORKFLOW_TASKS_MAX,
      stickyQueueScheduleToStartTimeout: STICKY_TIMEOUT,
      maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
      defaultHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
      shutdownGraceTime: SHUTDOWN_GRACE,
      shutdownForceTime: SHUTDOWN_FORCE,
    });
  }

  /** One life of a worker, from its connection to its end. */
  async function live(started?: () => void): Promise<void> {
    const connection = await NativeConnection.connect(deps.connection);
    try {
      worker = await create(connection);
      const running = worker.run();
      // `stop` may have been called before there was a worker.
      if (stopping) worker.shutdown();
      else health = { ok: true, error: null };
      started?.();
      await running;
    } finally {
      worker = undefined;
      await connection.close();
    }
  }

  async function keepAlive(): Promise<void> {
    while (!stopping) {
      await live().catch((error: unknown) => {
        health = { ok: false, error: error instanceof Error ? error.message : String(error) };
        log.error({ err: error }, 'The worker has failed; another one is started');
      });
      if (!stopping) await new Promise((resolve) => setTimeout(resolve, RESTART_BACKOFF_MS));
    }
  }

  let announce: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    announce = resolve;
  });
  const life = live(announce);
  // If the first life fails before it polls, the start fails.
  await Promise.race([ready, life]);
  const died = (error: unknown) => log.error({ err: error }, 'The worker has failed; another one is started');
  const done = life.catch(died).then(keepAlive);

  return {
    health: () => health,
    async stop() {
      if (!stopping) {
        stopping = true;
        health = { ok: false, error: 'stopping' };
        // A failing worker needs no shutdown and accepts none.
        if (worker?.getState() === 'RUNNING') worker.shutdown();
      }
      await done;
    },
  };
}

/** Model calls in flight per worker. */
const MODEL_CALLS_MAX = 150;
/** Calls of built-in tools in flight per worker. Each tool bounds the work it starts. */
const TOOL_CALLS_MAX = 20;
/** Activities that send webhooks, in flight per worker. Each mostly waits for endpoints, which are not under our control. */
const DELIVERIES_MAX = 200;

/**
 * The workers of a process: one for sessions and model calls, one for built-in tools and one for webhooks. They never wait for
 * each other.
 */
export async function startWorkers(deps: WorkersDeps): Promise<SessionWorker> {
  const { activities, bundlePath, ...shared } = deps;
  const { toolCall, deliver, deliverBacklog, ...ofSessions } = activities;
  const queues = [
    { bundlePath, activities: ofSessions, activitiesMax: MODEL_CALLS_MAX },
    { activities: { toolCall }, activitiesMax: TOOL_CALLS_MAX, taskQueue: toolsTaskQueue(deps.taskQueue) },
    {
      activities: { deliver, deliverBacklog },
      activitiesMax: DELIVERIES_MAX,
      taskQueue: webhooksTaskQueue(deps.taskQueue),
    },
  ];
  const workers: SessionWorker[] = [];
  const stop = async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
  };
  for (const queue of queues)
    await startSessionWorker({ ...shared, ...queue }).then(
      (worker) => workers.push(worker),
      async (error: unknown) => {
        await stop();
        throw error;
      },
    );
  const OK = { ok: true, error: null };
  return { health: () => workers.map((worker) => worker.health()).find(({ ok }) => !ok) ?? OK, stop };
}
