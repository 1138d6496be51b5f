// Queries session workflows for their state, and Temporal for their activities.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, type WorkflowExecutionDescription, WorkflowNotFoundError } from '@temporalio/client';
import type { Activities } from '../../activities/index.ts';
import { QUERIES, type SessionStateAnswer, workflowId } from '../../workflows/protocol.ts';
import { toTimestamp } from '../contracts/common.ts';
import { MESSAGE_ERROR_CODES } from '../contracts/errors.ts';
import type { SessionState } from '../contracts/sessions.ts';
import type { Engine, EngineSession, EngineState } from '../services/engine.ts';
import type { TemporalConnection } from './connection.ts';

/** How long a client waits for the workflow's state. After this time the response comes from the rows alone. */
const STATE_TIMEOUT_MS = 2_000;
const ASK_AGAIN_MS = 20;
/** The activity that sends webhooks. */
const DELIVER: keyof Activities = 'deliver';
/** Failure types whose messages are written for clients. */
const SHOWN_FAILURES: readonly string[] = [
  ...MESSAGE_ERROR_CODES,
  ...['unavailable', 'superseded', 'worker_lost', 'tool_failed', 'no_such_tool'],
];

type PendingActivity = NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number];

/** A code and a message for clients. Any other failure may contain SQL or contents, so only its activity is named. */
function failureWords({ lastFailure, activityId }: PendingActivity): string | null {
  if (!lastFailure) return null;
  if (lastFailure.timeoutFailureInfo) return `timeout: ${lastFailure.message}`;
  const type = lastFailure.applicationFailureInfo?.type ?? '';
  if (SHOWN_FAILURES.includes(type)) return `${type}: ${lastFailure.message}`;
  return `internal_error: The server failed here (activity ${activityId})`;
}

const toMs = ({ seconds, nanos }: NonNullable<PendingActivity['nextAttemptScheduleTime']>): number =>
  Number(seconds) * 1_000 + Math.round((nanos ?? 0) / 1_000_000);

/** Leaves out webhook deliveries, because no reply waits for them. */
const isOfTheTurn = ({ activityType }: PendingActivity): boolean => activityType?.name !== DELIVER;

function activityView(pending: PendingActivity | undefined): SessionState['activity'] {
  if (!pending) return null;
  const next = pending.nextAttemptScheduleTime;
  return {
    type: pending.activityType?.name ?? '',
    attempt: pending.attempt ?? 1,
    last_failure: failureWords(pending),
    next_retry_at: next?.seconds == null ? null : toTimestamp(toMs(next)),
  };
}

interface Asked {
  /** True if the session has a running run. */
  isOpen: boolean;
  /** Also undefined while the run hasn't read its initial state. */
  state?: EngineState | undefined;
}
const CLOSED: Asked = { isOpen: false };

export interface SessionQueryDeps {
  client: Client;
  temporal: TemporalConnection;
  start: Engine['start'];
}

export function createSessionQuery({ client, temporal, start }: SessionQueryDeps) {
  async function ask(sessionId: string): Promise<Asked> {
    const handle = client.workflow.getHandle(workflowId(sessionId));
    try {
      const [answer, description] = await Promise.all([
        handle.query<SessionStateAnswer | null>(QUERIES.state),
        handle.describe(),
      ]);
      // A closed run answers queries, too, with its state at the end.
      if (description.status.name !== 'RUNNING') return CLOSED;
      const activity = activityView(description.raw.pendingActivities?.find(isOfTheTurn));
      return { isOpen: true, state: answer ? { answer, activity, runId: description.runId } : undefined };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return CLOSED;
      throw error;
    }
  }

  /** A new session may not have reached Temporal yet, or its run may have just begun. */
  async function askSoon(session: EngineSession, deadline: number): Promise<EngineState | undefined> {
    let asked = await ask(session.sessionId);
    if (!asked.isOpen) {
      await start(session);
      asked = await ask(session.sessionId);
    }
    // A run that is closed again has ended in the meantime.
    while (asked.isOpen && !asked.state && Date.now() < deadline) {
      await sleep(ASK_AGAIN_MS);
      asked = await ask(session.sessionId);
    }
    return asked.state;
  }

  async function state(sessionId: string, missing?: EngineSession): Promise<EngineState | undefined> {
    if (!temporal.health().ok) return undefined;
    const deadline = Date.now() + STATE_TIMEOUT_MS;
    const work = async () => (missing ? await askSoon(missing, deadline) : (await ask(sessionId)).state);
    try {
      return await client.withDeadline(deadline, () => temporal.call(work));
    } catch {
      // Without a worker or a server, the response comes from the rows alone.
      return undefined;
    }
  }

  async function isRunning(sessionId: string): Promise<boolean> {
    const handle = client.workflow.getHandle(workflowId(sessionId));
    try {
      const { status } = await temporal.call(() => handle.describe());
      return status.name === 'RUNNING';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  }

  return { state, isRunning };
}
