// Starts session workflows and signals them. A signal starts the workflow first if there is no running one.
import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import {
  RUN_BOUNDS,
  type RunBounds,
  SEARCH_ATTRIBUTES,
  type SessionInput,
  WORKFLOW_TYPE,
  workflowId,
} from '../../workflows/protocol.ts';
import type { EngineSession } from '../services/engine.ts';
import type { TemporalConnection } from './connection.ts';

const ATTRIBUTES = {
  account: defineSearchAttributeKey(SEARCH_ATTRIBUTES.account, 'KEYWORD'),
  status: defineSearchAttributeKey(SEARCH_ATTRIBUTES.status, 'KEYWORD'),
  model: defineSearchAttributeKey(SEARCH_ATTRIBUTES.model, 'KEYWORD'),
};

/**
 * After this time Temporal gives a killed worker's workflow task to another worker. Temporal's default of 10 s would be 10 s
 * without a reply. Tasks take milliseconds, but on a busy machine a few concurrent replays take seconds, and a late task is
 * wasted work.
 */
const TASK_TIMEOUT = '5 seconds';

/** Sessions that this process remembers as running, about 1 MB. */
const RUNNING_MAX = 10_000;

export interface SessionStartDeps {
  client: Client;
  temporal: TemporalConnection;
  taskQueue: string;
  /** For tests of continue-as-new. */
  runBounds?: Partial<RunBounds> | undefined;
}

const attributesOf = ({ accountId, model }: EngineSession) =>
  new TypedSearchAttributes([
    { key: ATTRIBUTES.account, value: accountId },
    { key: ATTRIBUTES.status, value: 'active' },
    { key: ATTRIBUTES.model, value: model },
  ]);

export function createSessionStart({ client, temporal, taskQueue, runBounds }: SessionStartDeps) {
  function optionsOf(session: EngineSession) {
    const { sessionId, accountId, model } = session;
    const input: SessionInput = { sessionId, ...RUN_BOUNDS, ...runBounds };
    return {
      workflowId: workflowId(sessionId),
      taskQueue,
      args: [input] as [SessionInput],
      workflowTaskTimeout: TASK_TIMEOUT,
      // Starts a new run after one that ended or was lost, and leaves a running run alone.
      workflowIdReusePolicy: 'ALLOW_DUPLICATE' as const,
      workflowIdConflictPolicy: 'USE_EXISTING' as const,
      staticSummary: `Session with ${model}`,
      staticDetails: `Session \`${sessionId}\` of account \`${accountId}\`.`,
      typedSearchAttributes: attributesOf(session),
    };
  }

  /** Sessions whose run was open at the last contact, the latest last. */
  const running = new Set<string>();

  function remember(sessionId: string): void {
    running.delete(sessionId);
    running.add(sessionId);
    for (const oldest of running) {
      if (running.size <= RUNNING_MAX) return;
      running.delete(oldest);
    }
  }

  /** A plain signal costs Temporal far less than a signal with start. @returns false if no run is open. */
  async function signalRunning<T>(sessionId: string, name: string, argument: T): Promise<boolean> {
    if (!running.has(sessionId)) return false;
    try {
      await temporal.call(() => client.workflow.getHandle(workflowId(sessionId)).signal(name, argument));
      return true;
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
      running.delete(sessionId);
      return false;
    }
  }

  async function signal<T>(session: EngineSession, name: string, argument: T): Promise<void> {
    if (!(await signalRunning(session.sessionId, name, argument))) {
      const options = { ...optionsOf(session), signal: name, signalArgs: [argument] as [T] };
      await temporal.call(() => client.workflow.signalWithStart(WORKFLOW_TYPE, options));
    }
    remember(session.sessionId);
  }

  async function start(session: EngineSession): Promise<void> {
    try {
      await temporal.call(() => client.workflow.start(WORKFLOW_TYPE, optionsOf(session)));
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
    remember(session.sessionId);
  }

  return { start, signal };
}
