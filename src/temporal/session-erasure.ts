// Deletes Temporal's data of a session: the histories of all runs and their visibility records.
import { isGrpcServiceError, WorkflowNotFoundError } from '@temporalio/client';
import { workflowId } from '../../workflows/protocol.ts';
import type { Engine, Erasure } from '../services/engine.ts';
import type { SessionAttemptsDeps } from './session-attempts.ts';

/** gRPC status codes. */
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;

/** The client wraps gRPC's error in another error. */
function codeOf(error: unknown): number | undefined {
  const inner = error instanceof Error && error.cause ? error.cause : error;
  return isGrpcServiceError(inner) ? inner.code : undefined;
}

export function createSessionErasure({
  client,
  namespace,
  temporal,
}: SessionAttemptsDeps): Pick<Engine, 'erase'> {
  const service = client.connection.workflowService;

  /** @returns undefined if Temporal has no run under this id. */
  async function latestRun(sessionId: string) {
    try {
      return await client.workflow.getHandle(workflowId(sessionId)).describe();
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    }
  }

  async function listedRuns(sessionId: string): Promise<string[]> {
    const runIds: string[] = [];
    for await (const run of client.workflow.list({ query: `WorkflowId = '${workflowId(sessionId)}'` }))
      runIds.push(run.runId);
    return runIds;
  }

  async function deleteRun(sessionId: string, runId: string): Promise<void> {
    const workflowExecution = { workflowId: workflowId(sessionId), runId };
    try {
      await service.deleteWorkflowExecution({ namespace, workflowExecution });
    } catch (error) {
      // The visibility record disappears a moment after the history.
      if (codeOf(error) !== NOT_FOUND) throw error;
    }
  }

  async function erase(sessionId: string, evenOpen: boolean): Promise<Erasure> {
    const latest = await latestRun(sessionId);
    if (latest?.status.name === 'RUNNING' && !evenOpen) return 'open';
    const runIds = new Set(await listedRuns(sessionId));
    // The list of runs is eventually consistent, so the latest run may be missing from it.
    if (latest) runIds.add(latest.runId);
    for (const runId of runIds) await deleteRun(sessionId, runId);
    return runIds.size === 0 ? 'gone' : 'deleting';
  }

  return {
    async erase(sessionId, { evenOpen }) {
      try {
        return await temporal.call(() => erase(sessionId, evenOpen));
      } catch (error) {
        const code = codeOf(error);
        if (code === PERMISSION_DENIED || code === UNIMPLEMENTED) return 'refused';
        throw error;
      }
    },
  };
}
