// Asks session workflows what they are doing, and Temporal what it is doing for them.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, type WorkflowExecutionDescription, WorkflowNotFoundError } from '@temporalio/client';
import type { Activities } from '../../activities/index.ts';
import { QUERIES, type SessionStateAnswer, workflowId } from '../../workflows/protocol.ts';
import { toTimestamp } from '../contracts/common.ts';
import { MESSAGE_ERROR_CODES } from '../contracts/errors.ts';
import type { SessionState } from '../contracts/sessions.ts';
import type { Engine, EngineSession, EngineState } from '../services/engine.ts';
import type { TemporalConnection } from './connection.ts';

/** How long a client waits for a workflow's answer about itself; after that the rows must do. */
const STATE_TIMEOUT_MS = 2_000;
const ASK_AGAIN_MS = 20;
/** The activity that sends webhooks. */
const DELIVER: keyof Activities = 'deliver';
/** Types of failures whose message is written for clients. */
const SHOWN_FAILURES: readonly string[] = [
  ...MESSAGE_ERROR_CODES,
  ...['unavailable', 'superseded', 'worker_lost', 'tool_failed', 'no_such_tool'],
];

type PendingActivity = NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number];

/** A code and words for clients. Any other failure may hold SQL or contents, and is named by its activity only. */
function failureWords({ lastFailure, activityId }: PendingActivity): string | null {
  if (!lastFailure) return null;
  if (lastFailure.timeoutFailureInfo) return `timeout: ${lastFailure.message}`;
  const type = lastFailure.applicationFailureInfo?.type ?? '';
  if (SHOWN_FAILURES.includes(type)) return `${type}: ${lastFailure.message}`;
  return `internal_error: The server failed here (activity ${activityId})`;
}

const toMs = ({ seconds, nanos }: NonNullable<PendingActivity['nextAttemptScheduleTime']>): number =>
  Number(seconds) * 1_000 + Math.round((nanos ?? 0) / 1_000_000);

/** A receiver that does not answer keeps nobody's answer from coming. */
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
  /** Whether there is a run that goes on. */
  isOpen: boolean;
  /** Undefined also while it has not read yet what it begins with. */
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
      // A closed run answers queries as well: with what it was about to do when it ended.
      if (description.status.name !== 'RUNNING') return CLOSED;
      const activity = activityView(description.raw.pendingActivities?.find(isOfTheTurn));
      return { isOpen: true, state: answer ? { answer, activity, runId: description.runId } : undefined };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return CLOSED;
      throw error;
    }
  }

  /** A session that was made a moment ago may be on its way to Temporal, or its run may have only begun. */
  async function askSoon(session: EngineSession, deadline: number): Promise<EngineState | undefined> {
    let asked = await ask(session.sessionId);
    if (!asked.isOpen) {
      await start(session);
      asked = await ask(session.sessionId);
    }
    // One that is closed again has ended meanwhile.
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
      // No worker, no server: each means that the rows must answer.
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
