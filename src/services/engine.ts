// The services' port to Temporal: signal a session's workflow, query its state, check availability.
import type { SessionStateAnswer, SignalArguments, SignalName } from '../../workflows/protocol.ts';
import type { SessionState } from '../contracts/sessions.ts';
import type { SessionRow } from '../stores/schema.ts';
import type { Attempt } from '../turns/begin.ts';

/** Identifies the session whose workflow may have to be started. */
export interface EngineSession {
  sessionId: string;
  accountId: string;
  model: string;
}

export const engineSession = (row: Pick<SessionRow, 'id' | 'account_id' | 'model'>): EngineSession => ({
  sessionId: row.id,
  accountId: row.account_id,
  model: row.model,
});

export interface EngineState {
  answer: SessionStateAnswer;
  activity: SessionState['activity'];
  runId: string;
}

/** An attempt to write a session's open reply, whose worker is gone. */
export interface LostAttempt extends Attempt {
  sessionId: string;
}

/**
 * `gone`: Temporal holds no run. `deleting`: Temporal has accepted to delete the runs. `open`: the latest run is still
 * open. `refused`: the server has no permission, or Temporal is too old.
 */
export type Erasure = 'gone' | 'deleting' | 'open' | 'refused';

export interface Engine {
  /** @throws ApiError `unavailable` when Temporal is known to be unavailable. Nothing was accepted then. */
  requireAvailable(): void;
  start(session: EngineSession): Promise<void>;
  /** Starts the workflow if it isn't running, so any signal revives a session. */
  signal<Name extends SignalName>(
    name: Name,
    session: EngineSession,
    argument: SignalArguments[Name],
  ): Promise<void>;
  /**
   * Deliveries were handed over to an endpoint, or the endpoint needs a check. Starts the endpoint's workflow if it
   * isn't running.
   */
  endpoint(webhookId: string): Promise<void>;
  /**
   * Undefined when no workflow answers within the time that a client would wait.
   * @param missing A session whose workflow is started if none exists, because the session is new or its run was lost.
   */
  state(sessionId: string, missing?: EngineSession): Promise<EngineState | undefined>;
  /** True if a run is open now. */
  isRunning(sessionId: string): Promise<boolean>;
  /**
   * Ends the open run if its history can't be replayed. The next signal starts a run from the store's snapshot.
   * @returns true if a run was ended.
   */
  endUnreplayable(sessionId: string): Promise<boolean>;
  /** True if Temporal still waits for this attempt: the run is open, and the attempt is neither cancelled nor replaced. */
  isUnderWay(attempt: Attempt & { sessionId: string }): Promise<boolean>;
  /**
   * Ends an attempt whose worker is gone, so the next attempt starts now. Also ends a later attempt that the same
   * worker received but never opened. @returns false when no attempt is in flight.
   */
  failAttempt(lost: LostAttempt): Promise<boolean>;
  /**
   * Ends all work of other workers on a session, so this worker receives the work now. Only valid when all other
   * workers are known to be gone.
   */
  takeOver(sessionId: string, worker: string): Promise<void>;
  /** Ends the session's attempts that sent no heartbeat for `silentMs`. */
  endSilentAttempts(sessionId: string, silentMs: number): Promise<void>;
  /** Deletes all runs of a session, with their histories and visibility records. Temporal needs a moment for the deletion. */
  erase(sessionId: string, options: { evenOpen: boolean }): Promise<Erasure>;
  /**
   * The page with the session's Current Details, or the workflow's page if there is no run. Null when the address of
   * the UI is unknown.
   */
  urlOf(sessionId: string, runId?: string): string | null;
}
