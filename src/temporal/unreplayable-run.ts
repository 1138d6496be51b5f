// Ends a run that can't be replayed. Its history contradicts the workflow's code, so every workflow task fails, for ever.
import { workflowId } from '../../workflows/protocol.ts';
import { notUnderWay, type SessionAttemptsDeps } from './session-attempts.ts';

/** EventType: WORKFLOW_TASK_FAILED. */
const WORKFLOW_TASK_FAILED = 9;
/** WorkflowTaskFailedCause. */
const NON_DETERMINISTIC = 24;
/** Events read from the end of a history to find failed tasks. Each task has three events, besides the signal that caused it. */
const LAST_EVENTS = 20;
/**
 * Failures in a row before the run is ended. The first failures may come from a worker of another version during a deployment.
 * Temporal records only a task's first failure and counts the rest as attempts. A late attempt looks the same, but ending a
 * healthy run by mistake costs no more than ending any other.
 */
const FAILURES_MIN = 3;

export function createUnreplayableRun({ client, namespace, temporal }: SessionAttemptsDeps) {
  const service = client.connection.workflowService;

  /** Failures since the last completed task. */
  async function failuresOf(sessionId: string): Promise<{ runId: string; failures: number }> {
    const { runId, raw, status } = await client.workflow.getHandle(workflowId(sessionId)).describe();
    const attempts = status.name === 'RUNNING' ? (raw.pendingWorkflowTask?.attempt ?? 0) : 0;
    // No workflow task is pending.
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
