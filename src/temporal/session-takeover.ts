// Takes a session over from a killed process. Temporal alone would reassign its work only after time-outs.
import { randomUUID } from 'node:crypto';
import { type Client, isGrpcServiceError, type WorkflowExecutionDescription } from '@temporalio/client';
import { workflowId } from '../../workflows/protocol.ts';
import {
  attemptsUnderWay,
  createEndAttempt,
  createForgetWorker,
  type Execution,
  notUnderWay,
  type PendingActivity,
  type SessionAttemptsDeps,
} from './session-attempts.ts';

/** Temporal's number for a pending workflow task taken by a worker (PendingWorkflowTaskState). */
const WORKFLOW_TASK_STARTED = 2;
/** gRPC status code. */
const INVALID_ARGUMENT = 3;
/** Events read from the end of a history to find the last workflow task. A few events may follow it. */
const LAST_EVENTS = 20;
/** EventType: WORKFLOW_TASK_STARTED, _COMPLETED, _TIMED_OUT, _FAILED. A run can be reset to these. */
const WORKFLOW_TASK_EVENTS = [6, 7, 8, 9];

/** When a worker took the current workflow task. Undefined if no worker has it. */
function taskTakenAt({ raw }: WorkflowExecutionDescription): number | undefined {
  const task = raw.pendingWorkflowTask;
  if (task?.state !== WORKFLOW_TASK_STARTED) return undefined;
  return Number(task.startedTime?.seconds ?? 0) * 1_000 + (task.startedTime?.nanos ?? 0) / 1_000_000;
}

type EventId = NonNullable<
  Parameters<
    Client['connection']['workflowService']['resetWorkflowExecution']
  >[0]['workflowTaskFinishEventId']
>;

export function createSessionTakeover(deps: SessionAttemptsDeps) {
  const { client, temporal, namespace } = deps;
  const endAttempt = createEndAttempt(deps);
  const forgetWorker = createForgetWorker(deps);
  const service = client.connection.workflowService;
  /** Workflow tasks taken before this time belong to other processes. */
  const bornAt = Date.now();

  async function endAttempts(others: PendingActivity[], { workflowId: sessionId, runId }: Execution) {
    for (const { activityId } of others) if (activityId) await endAttempt({ sessionId, runId, activityId });
  }

  /** @returns false if Temporal can't reset to this event because it lies within a batch of events. */
  async function resetTo(execution: Execution, eventId: EventId): Promise<boolean> {
    try {
      await service.resetWorkflowExecution({
        namespace,
        workflowExecution: execution,
        workflowTaskFinishEventId: eventId,
        requestId: randomUUID(),
        reason: 'The worker of this workflow task is gone',
      });
      return true;
    } catch (error) {
      if (isGrpcServiceError(error) && error.code === INVALID_ARGUMENT) return false;
      throw error;
    }
  }

  /**
   * A workflow task can't be ended by name, so the run is reset. The new run has the same history up to the task and all later
   * signals, and its workflow task is available immediately.
   */
  async function resetToLastTask(execution: Execution): Promise<void> {
    const wanted = { namespace, execution, maximumPageSize: LAST_EVENTS };
    const { history } = await service.getWorkflowExecutionHistoryReverse(wanted);
    for (const { eventType, eventId } of history?.events ?? [])
      if (eventId && WORKFLOW_TASK_EVENTS.includes(eventType ?? 0) && (await resetTo(execution, eventId)))
        return;
  }

  async function endWork(sessionId: string, worker: string): Promise<void> {
    const handle = client.workflow.getHandle(workflowId(sessionId));
    const description = await temporal.call(() => handle.describe());
    if (description.status.name !== 'RUNNING') return;
    const execution = { workflowId: workflowId(sessionId), runId: description.runId };
    const attempts = attemptsUnderWay(description);
    const others = attempts.filter(({ lastWorkerIdentity }) => lastWorkerIdentity !== worker);
    const takenAt = taskTakenAt(description);
    // A reset ends every attempt. An attempt of this worker is worth more than the task, which times out anyway.
    if (takenAt !== undefined && takenAt < bornAt && others.length === attempts.length)
      await temporal.call(() => resetToLastTask(execution));
    else if (others.length > 0) await endAttempts(others, execution);
    else if (takenAt === undefined) await forgetWorker(execution);
  }

  return {
    async takeOver(sessionId: string, worker: string): Promise<void> {
      await endWork(sessionId, worker).catch(notUnderWay);
    },
  };
}
