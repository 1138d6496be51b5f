// Takes a session over from a process that was killed: Temporal alone would give its work on after its time-outs only.
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

/** Temporal's number for a pending workflow task that a worker has taken (PendingWorkflowTaskState). */
const WORKFLOW_TASK_STARTED = 2;
/** gRPC's number. */
const INVALID_ARGUMENT = 3;
/** Events from the end of a history in which the last workflow task is looked for; a few may stand behind it. */
const LAST_EVENTS = 20;
/** EventType: WORKFLOW_TASK_STARTED, _COMPLETED, _TIMED_OUT, _FAILED: where a run can begin anew. */
const WORKFLOW_TASK_EVENTS = [6, 7, 8, 9];

/** When the workflow task was taken that somebody works on now; undefined when nobody does. */
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
  /** This process has taken nothing before. */
  const bornAt = Date.now();

  async function endAttempts(others: PendingActivity[], { workflowId: sessionId, runId }: Execution) {
    for (const { activityId } of others) if (activityId) await endAttempt({ sessionId, runId, activityId });
  }

  /** @returns false when Temporal can't begin anew there: the event lies within what was written together. */
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
   * A workflow task can't be ended by name. Temporal's own means is a reset: a new run with the same history up to that
   * task and the signals that came later, and its task is there at once.
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
    // A reset ends every attempt. One of ours is worth more than the task, which comes back after its time.
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
