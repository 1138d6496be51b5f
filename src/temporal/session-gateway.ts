// The only place that starts, signals and queries session workflows.
import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';
import { ApplicationFailure, defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import {
  QUERIES,
  SEARCH_ATTRIBUTES,
  type SessionInput,
  type SessionStateAnswer,
  SIGNALS,
  WORKFLOW_TYPE,
  workflowId,
} from '../../workflows/protocol.ts';
import { toTimestamp } from '../contracts/common.ts';
import { ApiError } from '../contracts/errors.ts';
import type { SessionState } from '../contracts/sessions.ts';
import type { Attempt, Engine, EngineSession, EngineState } from '../services/engine.ts';
import type { TemporalConnection } from './connection.ts';

/** How long a client waits for a workflow's answer about itself; after that the rows must do. */
const STATE_TIMEOUT_MS = 2_000;
/** Temporal's number for a pending activity that a worker has taken (PendingActivityState). */
const ACTIVITY_STARTED = 2;
/** Nothing has failed but the worker: there is nothing to wait for. */
const RETRY_AT_ONCE = '1 millisecond';
/** Reading of a failure's causes stops here. */
const CAUSES_MAX = 5;

const ATTRIBUTES = {
  account: defineSearchAttributeKey(SEARCH_ATTRIBUTES.account, 'KEYWORD'),
  status: defineSearchAttributeKey(SEARCH_ATTRIBUTES.status, 'KEYWORD'),
  model: defineSearchAttributeKey(SEARCH_ATTRIBUTES.model, 'KEYWORD'),
};

export interface GatewayDeps {
  client: Client;
  temporal: TemporalConnection;
  taskQueue: string;
  namespace: string;
  /** Address of the Temporal UI, if there is one. */
  uiUrl: string | null;
  /** For tests of continue-as-new. */
  turnsPerRunMax?: number;
}

interface PendingActivity {
  activityType?: { name?: string | null } | null;
  attempt?: number | null;
  lastFailure?: { message?: string | null; cause?: unknown } | null;
  nextAttemptScheduleTime?: { seconds?: unknown } | null;
  scheduledTime?: { seconds?: unknown } | null;
  state?: number | string | null;
}

/** The innermost message: the outer ones only say that an activity has failed. */
function failureWords(failure: PendingActivity['lastFailure']): string | null {
  let words: string | null = failure?.message ?? null;
  let cause = failure?.cause as PendingActivity['lastFailure'] | undefined;
  for (let depth = 0; cause && depth < CAUSES_MAX; depth += 1) {
    words = cause.message || words;
    cause = cause.cause as PendingActivity['lastFailure'] | undefined;
  }
  return words;
}

function activityView(pending: PendingActivity | undefined): SessionState['activity'] {
  if (!pending) return null;
  const next = pending.nextAttemptScheduleTime?.seconds;
  return {
    type: pending.activityType?.name ?? '',
    attempt: pending.attempt ?? 1,
    last_failure: failureWords(pending.lastFailure),
    next_retry_at: next == null ? null : toTimestamp(Number(next) * 1_000),
  };
}

export function createSessionGateway(deps: GatewayDeps): Engine {
  const { client, temporal, taskQueue, namespace, uiUrl } = deps;

  function options({ sessionId, accountId, model }: EngineSession) {
    const input: SessionInput = {
      sessionId,
      ...(deps.turnsPerRunMax ? { turnsPerRunMax: deps.turnsPerRunMax } : {}),
    };
    return {
      workflowId: workflowId(sessionId),
      taskQueue,
      args: [input] as [SessionInput],
      workflowIdReusePolicy: 'ALLOW_DUPLICATE' as const,
      workflowIdConflictPolicy: 'USE_EXISTING' as const,
      staticSummary: `Session with ${model}`,
      staticDetails: `Session \`${sessionId}\` of account \`${accountId}\`.`,
      typedSearchAttributes: new TypedSearchAttributes([
        { key: ATTRIBUTES.account, value: accountId },
        { key: ATTRIBUTES.status, value: 'active' },
        { key: ATTRIBUTES.model, value: model },
      ]),
    };
  }

  async function signal<T>(session: EngineSession, name: string, argument: T): Promise<void> {
    const wanted = { ...options(session), signal: name, signalArgs: [argument] as [T] };
    await temporal.call(() => client.workflow.signalWithStart(WORKFLOW_TYPE, wanted));
  }

  async function start(session: EngineSession): Promise<void> {
    try {
      await temporal.call(() => client.workflow.start(WORKFLOW_TYPE, options(session)));
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  }

  async function ask(sessionId: string): Promise<EngineState | undefined> {
    const handle = client.workflow.getHandle(workflowId(sessionId));
    const [answer, description] = await Promise.all([
      handle.query<SessionStateAnswer | null>(QUERIES.state),
      handle.describe(),
    ]);
    // A closed run answers queries as well: with what it was about to do when it ended.
    if (!answer || description.status.name !== 'RUNNING') return undefined;
    const [pending] = (description.raw.pendingActivities ?? []) as PendingActivity[];
    return { answer, activity: activityView(pending) };
  }

  async function state(sessionId: string): Promise<EngineState | undefined> {
    if (!temporal.health().ok) return undefined;
    try {
      return await client.withDeadline(Date.now() + STATE_TIMEOUT_MS, () =>
        temporal.call(() => ask(sessionId)),
      );
    } catch {
      // No workflow, no worker, no server: each means that the rows must answer.
      return undefined;
    }
  }

  async function isRunning(sessionId: string): Promise<boolean> {
    try {
      const description = await temporal.call(() =>
        client.workflow.getHandle(workflowId(sessionId)).describe(),
      );
      return description.status.name === 'RUNNING';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  }

  async function failAttempt(lost: Attempt): Promise<boolean> {
    const { raw } = await temporal.call(() =>
      client.workflow.getHandle(workflowId(lost.sessionId)).describe(),
    );
    const isUnderWay = (raw.pendingActivities ?? []).some(
      (pending) =>
        pending.activityId === lost.activityId &&
        pending.attempt === lost.attempt &&
        pending.lastWorkerIdentity === lost.worker &&
        pending.state === ACTIVITY_STARTED,
    );
    if (!isUnderWay) return false;
    const { runId, activityId } = lost;
    const failure = ApplicationFailure.create({
      type: 'worker_lost',
      message: 'The worker of this attempt is gone',
      nextRetryDelay: RETRY_AT_ONCE,
    });
    await temporal.call(() =>
      client.activity.fail({ workflowId: workflowId(lost.sessionId), runId, activityId }, failure),
    );
    return true;
  }

  return {
    failAttempt,
    requireAvailable() {
      const { ok } = temporal.health();
      if (ok) return;
      throw new ApiError('unavailable', 'Temporal is away; nothing was accepted, try again', {
        retryAfterSeconds: 1,
      });
    },
    start,
    message: (session, argument) => signal(session, SIGNALS.message, argument),
    interrupt: (session, argument) => signal(session, SIGNALS.interrupt, argument),
    configure: (session, argument) => signal(session, SIGNALS.configure, argument),
    end: (session, argument) => signal(session, SIGNALS.end, argument),
    state,
    isRunning,
    urlOf: (sessionId) => (uiUrl === null ? null : `${uiUrl}/namespaces/${namespace}/workflows/${sessionId}`),
  };
}
