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
const underWay = ({ raw, status }: WorkflowExecutionDescription) =>
  (raw.pendingActivities ?? []).filter(
    (pending) => status.name === 'RUNNING' && pending.state === ACTIVITY_STARTED,
  );

const workerLost = () =>
  ApplicationFailure.create({
    type: 'worker_lost',
    message: 'The worker of this attempt is gone',
    nextRetryDelay: RETRY_AT_ONCE,
  });

export interface SessionAttemptsDeps {
  client: Client;
  temporal: TemporalConnection;
}

export function createSessionAttempts({ client, temporal }: SessionAttemptsDeps) {
  const describe = (sessionId: string, runId?: string) =>
    temporal.call(() => client.workflow.getHandle(workflowId(sessionId), runId).describe());

  async function fail({
    sessionId,
    runId,
    activityId,
  }: Omit<LostAttempt, 'worker' | 'attempt'>): Promise<true> {
    const attempt = { workflowId: workflowId(sessionId), runId, activityId };
    await temporal.call(() => client.activity.fail(attempt, workerLost()));
    return true;
  }

  /** Temporal has lost the run, or the attempt has ended by itself in between: either way it is not under way. */
  function notUnderWay(error: unknown): false {
    if (error instanceof WorkflowNotFoundError || error instanceof ActivityNotFoundError) return false;
    throw error;
  }

  /** Temporal must still wait for the very attempt, in the very worker. */
  async function waitsFor(attempt: LostAttempt): Promise<boolean> {
    const description = await describe(attempt.sessionId, attempt.runId);
    return underWay(description).some(
      (pending) =>
        pending.activityId === attempt.activityId &&
        pending.attempt === attempt.attempt &&
        pending.lastWorkerIdentity === attempt.worker,
    );
  }

  const endAttempt = async (lost: LostAttempt): Promise<boolean> => (await waitsFor(lost)) && fail(lost);

  async function endAttemptsOfOthers(sessionId: string, worker: string): Promise<void> {
    const description = await describe(sessionId);
    for (const { activityId, lastWorkerIdentity } of underWay(description))
      if (activityId && lastWorkerIdentity !== worker)
        await fail({ sessionId, runId: description.runId, activityId });
  }

  return {
    isUnderWay: (attempt: LostAttempt) => waitsFor(attempt).catch(notUnderWay),
    failAttempt: (lost: LostAttempt) => endAttempt(lost).catch(notUnderWay),
    async failAttemptsOfOthers(sessionId: string, worker: string): Promise<void> {
      await endAttemptsOfOthers(sessionId, worker).catch(notUnderWay);
    },
  };
}
