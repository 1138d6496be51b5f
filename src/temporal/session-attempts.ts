// Ends attempts of activities whose worker is gone: Temporal alone would notice by its heartbeat time-out only.
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

/** Temporal's number for a pending activity that a worker has taken (PendingActivityState). */
const ACTIVITY_STARTED = 2;
/** Nothing has failed but the worker: there is nothing to wait for. */
const RETRY_AT_ONCE = '1 millisecond';

/** What a closed run was about to do when it ended is not under way. */
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

/** When Temporal last heard of the attempt. */
function heardOfAt({ lastHeartbeatTime, lastStartedTime }: PendingActivity): number {
  const times = [lastHeartbeatTime, lastStartedTime].map(
    (time) => Number(time?.seconds ?? 0) * 1_000 + (time?.nanos ?? 0) / 1_000_000,
  );
  return Math.max(...times);
}

/** The attempt itself, in the worker itself. */
const isVery = (attempt: LostAttempt) => (pending: PendingActivity) =>
  pending.activityId === attempt.activityId &&
  pending.lastWorkerIdentity === attempt.worker &&
  pending.attempt === attempt.attempt;

/**
 * A worker that lives opens what it is given in milliseconds, and has a new lease with that. Shorter than the sweep's urgent
 * interval, so that its next look finds who has not.
 */
const OPENED_WITHIN_MS = 400;

/**
 * The attempt itself, or a later one that this worker was given and has not opened:
 * the open polls of one that is stopped live on, and each may take what was just taken from it.
 */
const isLost = (lost: LostAttempt) => (pending: PendingActivity) =>
  isVery({ ...lost, attempt: pending.attempt ?? 0 })(pending) &&
  (pending.attempt === lost.attempt || heardOfAt(pending) <= Date.now() - OPENED_WITHIN_MS);

/** Temporal has lost the run, or what was taken has ended by itself in between: either way it is not under way. */
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

/** What is scheduled from now on is offered to any worker at once, not first to the one that had the session last. */
export const createForgetWorker =
  ({ client, namespace, temporal }: SessionAttemptsDeps) =>
  async (execution: Execution): Promise<void> => {
    const { workflowService } = client.connection;
    await temporal.call(() => workflowService.resetStickyTaskQueue({ namespace, execution }));
  };

/** Ends one attempt by name. Whoever had it most likely had its session too, and takes no task of it any more. */
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
