// Ends a run that can't be replayed: its history and the workflow's code disagree, so every task of it fails, for ever.
import { workflowId } from '../../workflows/protocol.ts';
import { notUnderWay, type SessionAttemptsDeps } from './session-attempts.ts';

/** EventType: WORKFLOW_TASK_FAILED. */
const WORKFLOW_TASK_FAILED = 9;
/** WorkflowTaskFailedCause. */
const NON_DETERMINISTIC = 24;
/** Events from the end of a history in which failed tasks are looked for: each task has three, and brings the signal that began it. */
const LAST_EVENTS = 20;
/**
 * Failures in a row that are enough. The first of them may be a worker of another version in the middle of a deployment. Temporal writes
 * down the first of a task; what follows counts as its attempts only, and one that was late looks the same: ending a run that
 * would have gone on after all costs no more than ending any other.
 */
const FAILURES_MIN = 3;

export function createUnreplayableRun({ client, namespace, temporal }: SessionAttemptsDeps) {
  const service = client.connection.workflowService;

  /** Failures since the last task that was completed. */
  async function failuresOf(sessionId: string): Promise<{ runId: string; failures: number }> {
    const { runId, raw, status } = await client.workflow.getHandle(workflowId(sessionId)).describe();
    const attempts = status.name === 'RUNNING' ? (raw.pendingWorkflowTask?.attempt ?? 0) : 0;
    // Nothing waits to be replayed.
    if (attempts === 0) return { runId, failures: 0 };
    const { history } = await service.getWorkflowExecutionHistoryReverse({
      namespace,
      execution: { workflowId: workflowId(sessionId), runId },
      maximumPageSize: LAST_EVENTS,
    });
    const events = history?.events ?? [];
    const completed = events.findIndex(({ workflowTaskCompletedEventAttributes }) =>
      Boolean(workflowTaskCompletedEventAttributes),
    );
    const recent = completed < 0 ? events : events.slice(0, completed);
    const written = recent.filter(
      ({ eventType, workflowTaskFailedEventAttributes: failed }) =>
        eventType === WORKFLOW_TASK_FAILED && failed?.cause === NON_DETERMINISTIC,
    ).length;
    return { runId, failures: written === 0 ? 0 : written + attempts - 1 };
  }

  async function end(sessionId: string): Promise<boolean> {
    const { runId, failures } = await temporal.call(() => failuresOf(sessionId));
    if (failures < FAILURES_MIN) return false;
    const handle = client.workflow.getHandle(workflowId(sessionId), runId);
    await temporal.call(() =>
      handle.terminate('Its history can not be replayed by the code of its workflow'),
    );
    return true;
  }

  return {
    endUnreplayable: (sessionId: string): Promise<boolean> => end(sessionId).catch(notUnderWay),
  };
}
