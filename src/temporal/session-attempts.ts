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

/** Whether Temporal still waits for the very attempt, in the very worker. */
const isUnderWay = ({ raw }: WorkflowExecutionDescription, lost: LostAttempt): boolean =>
  (raw.pendingActivities ?? []).some(
    (pending) =>
      pending.activityId === lost.activityId &&
      pending.attempt === lost.attempt &&
      pending.lastWorkerIdentity === lost.worker &&
      pending.state === ACTIVITY_STARTED,
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

export const createFailAttempt = ({ client, temporal }: SessionAttemptsDeps) =>
  async function failAttempt(lost: LostAttempt): Promise<boolean> {
    const id = workflowId(lost.sessionId);
    const { runId, activityId } = lost;
    try {
      const description = await temporal.call(() => client.workflow.getHandle(id).describe());
      if (!isUnderWay(description, lost)) return false;
      await temporal.call(() => client.activity.fail({ workflowId: id, runId, activityId }, workerLost()));
      return true;
    } catch (error) {
      // Temporal has lost the run, or the attempt has ended by itself in between: either way it is not under way.
      if (error instanceof WorkflowNotFoundError || error instanceof ActivityNotFoundError) return false;
      throw error;
    }
  };
