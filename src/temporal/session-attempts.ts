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

const underWay = ({ raw }: WorkflowExecutionDescription) =>
  (raw.pendingActivities ?? []).filter((pending) => pending.state === ACTIVITY_STARTED);

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
  const describe = (sessionId: string) =>
    temporal.call(() => client.workflow.getHandle(workflowId(sessionId)).describe());

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
  async function endAttempt(lost: LostAttempt): Promise<boolean> {
    const isUnderWay = underWay(await describe(lost.sessionId)).some(
      ({ activityId, attempt, lastWorkerIdentity }) =>
        activityId === lost.activityId && attempt === lost.attempt && lastWorkerIdentity === lost.worker,
    );
    return isUnderWay && fail(lost);
  }

  async function endAttemptsOfOthers(sessionId: string, worker: string): Promise<void> {
    const description = await describe(sessionId);
    for (const { activityId, lastWorkerIdentity } of underWay(description))
      if (activityId && lastWorkerIdentity !== worker)
        await fail({ sessionId, runId: description.runId, activityId });
  }

  return {
    failAttempt: (lost: LostAttempt) => endAttempt(lost).catch(notUnderWay),
    async failAttemptsOfOthers(sessionId: string, worker: string): Promise<void> {
      await endAttemptsOfOthers(sessionId, worker).catch(notUnderWay);
    },
  };
}
