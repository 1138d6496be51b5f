// Ends activity attempts of dead workers. Temporal alone would only notice them by their heartbeat time-out.
import {
  ActivityNotFoundError,
  type Client,
  type WorkflowExecutionDescription,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { workflowId } from '../../workflows/protocol.ts';
import type { LostAttempt } from '../services/engine.ts';
import type { TemporalConnection } from './connection.ts';

/** Temporal's number for a pending activity taken by a worker (PendingActivityState). */
const ACTIVITY_STARTED = 2;
/** Only the worker has failed, so there is no reason to back off. */
const RETRY_AT_ONCE = '1 millisecond';

/** Leaves out a closed run's pending activities, which are no longer in flight. */
export const attemptsUnderWay = ({ raw, status }: WorkflowExecutionDescription) =>
  (raw.pendingActivities ?? []).filter(
    (pending) => status.name === 'RUNNING' && pending.state === ACTIVITY_STARTED,
  );

const workerLost = () =>
  ApplicationFailure.create({
    type: 'worker_lost',
    message: 'The worker of this attempt is gone',
    nextRetryDelay: RETRY_AT_ONCE,
  });

export type PendingActivity = ReturnType<typeof attemptsUnderWay>[number];

/** When Temporal last received a start or heartbeat of the attempt. */
function heardOfAt({ lastHeartbeatTime, lastStartedTime }: PendingActivity): number {
  const times = [lastHeartbeatTime, lastStartedTime].map(
    (time) => Number(time?.seconds ?? 0) * 1_000 + (time?.nanos ?? 0) / 1_000_000,
  );
  return Math.max(...times);
}

/** Matches the attempt exactly, including its worker. */
const isVery = (attempt: LostAttempt) => (pending: PendingActivity) =>
  pending.activityId === attempt.activityId &&
  pending.lastWorkerIdentity === attempt.worker &&
  pending.attempt === attempt.attempt;

/**
 * A living worker opens a task within milliseconds and renews the lease by doing so. Shorter than the reconciler's urgent
 * interval, so its next check finds workers that haven't.
 */
const OPENED_WITHIN_MS = 400;

/**
 * Matches the attempt, or a later attempt that the same worker took and hasn't opened. The open polls of a stopped process stay
 * alive, and each may take the task that was just taken away.
 */
const isLost = (lost: LostAttempt) => (pending: PendingActivity) =>
  isVery({ ...lost, attempt: pending.attempt ?? 0 })(pending) &&
  (pending.attempt === lost.attempt || heardOfAt(pending) <= Date.now() - OPENED_WITHIN_MS);

/** Temporal has lost the run, or the attempt has ended in the meantime. In both cases nothing is in flight. */
export function notUnderWay(error: unknown): false {
  if (error instanceof WorkflowNotFoundError || error instanceof ActivityNotFoundError) return false;
  throw error;
}

export interface SessionAttemptsDeps {
  client: Client;
  namespace: string;
  temporal: TemporalConnection;
}

export interface Execution {
  workflowId: string;
  runId: string;
}

/** Offers new tasks of the run to any worker immediately, instead of first to the session's last worker. */
export const createForgetWorker =
  ({ client, namespace, temporal }: SessionAttemptsDeps) =>
  async (execution: Execution): Promise<void> => {
    const { workflowService } = client.connection;
    await temporal.call(() => workflowService.resetStickyTaskQueue({ namespace, execution }));
  };

/**
 * Ends one attempt by name. Its worker most likely had the session's workflow, too, so no further task is offered to it first.
 */
export function createEndAttempt(deps: SessionAttemptsDeps) {
  const { client, temporal } = deps;
  const forgetWorker = createForgetWorker(deps);
  return async ({ sessionId, runId, activityId }: Omit<LostAttempt, 'worker' | 'attempt'>): Promise<true> => {
    const execution = { workflowId: workflowId(sessionId), runId };
    await forgetWorker(execution);
    await temporal.call(() => client.activity.fail({ ...execution, activityId }, workerLost()));
    return true;
  };
}

export function createSessionAttempts(deps: SessionAttemptsDeps) {
  const { client, temporal } = deps;
  const end = createEndAttempt(deps);

  async function waitsFor(attempt: LostAttempt, which: typeof isVery): Promise<boolean> {
    const handle = client.workflow.getHandle(workflowId(attempt.sessionId), attempt.runId);
    const description = await temporal.call(() => handle.describe());
    return attemptsUnderWay(description).some(which(attempt));
  }

  const endIfUnderWay = async (lost: LostAttempt): Promise<boolean> =>
    (await waitsFor(lost, isLost)) && end(lost);

  async function endSilent(sessionId: string, silentMs: number): Promise<void> {
    const description = await temporal.call(() =>
      client.workflow.getHandle(workflowId(sessionId)).describe(),
    );
    const { runId } = description;
    for (const pending of attemptsUnderWay(description))
      if (pending.activityId && heardOfAt(pending) <= Date.now() - silentMs)
        await end({ sessionId, runId, activityId: pending.activityId });
  }

  return {
    async endSilentAttempts(sessionId: string, silentMs: number): Promise<void> {
      await endSilent(sessionId, silentMs).catch(notUnderWay);
    },
    isUnderWay: (attempt: LostAttempt) => waitsFor(attempt, isVery).catch(notUnderWay),
    failAttempt: (lost: LostAttempt) => endIfUnderWay(lost).catch(notUnderWay),
  };
}
