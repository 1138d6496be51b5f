// Wires the work on sessions: the activities, their worker, and the reconciler.
import { createActivities } from '../../activities/index.ts';
import { randomText } from '../ids.ts';
import type { PartHealth } from '../services/health.ts';
import { createSweep } from '../services/sweep/index.ts';
import { createMessageRows } from '../stores/message-rows.ts';
import { type SessionWorker, startWorkers } from '../temporal/worker.ts';
import type { Core } from './core.ts';
import type { WorkOptions } from './options.ts';

const NOT_STARTED: PartHealth = { ok: false, error: 'not started' };

export function createWork(core: Core, options: WorkOptions) {
  const { db, engine, logger, store, webhooks } = core;
  const identity = `worker-${randomText(12)}`;
  const activities = createActivities({
    ...core,
    model: options.model,
    messages: createMessageRows(db),
    worker: identity,
    isUnderWay: engine.isUnderWay,
    ...webhooks,
  });
  const sweep = createSweep({
    ...core,
    store,
    worker: identity,
    deliveries: webhooks.queue,
    sender: webhooks.sender,
    isOnlyWorker: options.isOnlyWorker,
    intervalMs: options.settings.sweepIntervalMs,
  });
  let worker: SessionWorker | undefined;
  return {
    health: async (): Promise<PartHealth> => worker?.health() ?? NOT_STARTED,
    /** Starts the worker, then the reconciler. */
    async start(): Promise<void> {
      worker = await startWorkers({ ...options.temporal, identity, activities, log: logger });
      // The name of this process in Temporal's UI and in leases.
      logger.info({ worker: identity, taskQueue: options.temporal.taskQueue }, 'Working on sessions');
      sweep.start();
    },
    async stop(): Promise<void> {
      await sweep.stop();
      await worker?.stop();
    },
  };
}
