// The Temporal worker of this process: kept alive while the process lives, stopped within a bounded time.
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import type { Activities } from '../../activities/index.ts';
import { toolsTaskQueue, webhooksTaskQueue } from '../../workflows/protocol.ts';
import type { TemporalAddress } from './connection.ts';

/**
 * A task that its session's own worker has not taken by then goes to any worker, who has to replay the session. On a busy machine
 * tasks wait for their turn, and a replay costs twenty times what it waits for: so this is long, and of a worker that is
 * known to be gone Temporal is told to forget (session-attempts.ts, session-takeover.ts).
 */
const STICKY_TIMEOUT = '5 seconds';
/** Turns under way are handed over, not finished: the next worker starts them again at once. */
const SHUTDOWN_GRACE = '0 seconds';
/** After the activities were told to stop, this bounds how long they may take to say so. */
const SHUTDOWN_FORCE = '5 seconds';
/** Heartbeats pass on a cancellation; throttled to this they still come several times before anyone gives up. */
const HEARTBEAT_THROTTLE = '2 seconds';
const RESTART_BACKOFF_MS = 500;
/**
 * Sessions kept ready in memory, about 0.3 MB each: far more than a worker answers at once. The others cost disk only, and a
 * replay when they are spoken to again. The SDK's own default grows with the heap to some thousand.
 */
const CACHED_SESSIONS_MAX = 600;

/**
 * Workflow tasks that a worker takes at once. They share one thread, so that more of them are not done sooner, and the time of each
 * runs from when it is taken: with Temporal's 40, as many replays after a restart were all late, and all for nothing.
 */
const WORKFLOW_TASKS_MAX = 6;

interface SessionWorkerDeps {
  connection: TemporalAddress;
  namespace: string;
  taskQueue: string;
  /** Names this worker in Temporal and in the leases of its attempts; never the same in two processes. */
  identity: string;
  /** The workflows; without it the worker runs activities only. */
  bundlePath?: string;
  activities: Partial<Activities>;
  /** Activities at once in this worker; more wait in Temporal. */
  activitiesMax: number;
  log: Logger;
}

export type WorkersDeps = Omit<SessionWorkerDeps, 'activitiesMax'> & {
  bundlePath: string;
  activities: Activities;
};

export interface SessionWorker {
  /** Whether it polls now. */
  health(): { ok: boolean; error: string | null };
  stop(): Promise<void>;
}

let installed = false;

/** Temporal's runtime is one a process: it must leave our signals alone, and its words go to our log. */
function installRuntime(log: Logger): void {
  if (installed) return;
  installed = true;
  const logger = new DefaultLogger('WARN', ({ level, message, meta }) => {
    // Two of our workers run activities only, on purpose.
    if (message.startsWith('No workflows registered')) return;
    const { error, ...fields } = meta ?? {};
    log[level === 'ERROR' ? 'error' : 'warn']({ ...fields, err: error }, message);
  });
  // Forwarded, the native core's lines are JSON lines of our log too.
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

  /** One life of a worker: from its connection to its end. */
  async function live(started?: () => void): Promise<void> {
    const connection = await NativeConnection.connect(deps.connection);
    try {
      worker = await create(connection);
      const running = worker.run();
      // Whoever asked for the stop may have found nobody to tell.
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
  // A first life that fails before it polls fails the start.
  await Promise.race([ready, life]);
  const died = (error: unknown) => log.error({ err: error }, 'The worker has failed; another one is started');
  const done = life.catch(died).then(keepAlive);

  return {
    health: () => health,
    async stop() {
      if (!stopping) {
        stopping = true;
        health = { ok: false, error: 'stopping' };
        // One that is failing just now needs no word, and takes none.
        if (worker?.getState() === 'RUNNING') worker.shutdown();
      }
      await done;
    },
  };
}

/** Model calls under way at once in one worker. */
const MODEL_CALLS_MAX = 150;
/** Calls of built-in tools at once: each tool bounds what it starts itself. */
const TOOL_CALLS_MAX = 20;
/** Activities that send webhooks at once: each waits for receivers most of its time, and they are none of ours. */
const DELIVERIES_MAX = 200;

/**
 * The workers of a process: one for sessions and model calls, one for built-in tools and one for webhooks, none of which may
 * wait for the others.
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
