// Checks with Temporal whether any worker polls for sessions, for a process without a worker of its own.
import type { PartHealth } from '../services/health.ts';
import type { TemporalConnection } from './connection.ts';

/** Less than the second that a probe has. */
const ASK_TIMEOUT_MS = 900;
/**
 * An idle poll lasts a minute, and the next poll follows immediately. A worker without a poll for longer than that is dead.
 * Temporal itself lists a poller for five minutes.
 */
const GONE_AFTER_MS = 75_000;
/** Temporal's number for the workflow tasks of a queue (TaskQueueType). */
const WORKFLOW_TASKS = 1;

export interface PollerCheckDeps {
  temporal: TemporalConnection;
  namespace: string;
  taskQueue: string;
  now: () => number;
}

interface Poller {
  lastAccessTime?: { seconds?: { toString(): string } | number | null } | null;
}

const polledAtMs = ({ lastAccessTime }: Poller): number => Number(lastAccessTime?.seconds ?? 0) * 1_000;

export const createPollerCheck =
  ({ temporal, namespace, taskQueue, now }: PollerCheckDeps) =>
  async (): Promise<PartHealth> => {
    const { connection } = temporal;
    const query = { namespace, taskQueue: { name: taskQueue }, taskQueueType: WORKFLOW_TASKS };
    const ask = () => connection.workflowService.describeTaskQueue(query);
    try {
      const found = await temporal.call(() => connection.withDeadline(Date.now() + ASK_TIMEOUT_MS, ask));
      const isThere = (found.pollers ?? []).some((poller) => polledAtMs(poller) > now() - GONE_AFTER_MS);
      return isThere ? { ok: true, error: null } : { ok: false, error: `no worker polls ${taskQueue}` };
    } catch (error) {
      return { ok: false, error: error instanceof Error ? error.message : String(error) };
    }
  };
