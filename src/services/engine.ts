// What the services need of Temporal: tell a session's workflow something, ask it, know whether it can be reached.
import type { SessionStateAnswer, SignalArguments, SignalName } from '../../workflows/protocol.ts';
import type { SessionState } from '../contracts/sessions.ts';
import type { SessionRow } from '../stores/schema.ts';
import type { Attempt } from '../turns/begin.ts';

/** Who the workflow is for, if it must be started (again). */
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

/** An attempt to write a session's open reply whose worker is gone. */
export interface LostAttempt extends Attempt {
  sessionId: string;
}

/**
 * `gone`: Temporal holds no run. `deleting`: it has accepted to delete the runs. `open`: the latest run is still open.
 * `refused`: the server has no permission, or Temporal is too old.
 */
export type Erasure = 'gone' | 'deleting' | 'open' | 'refused';

export interface Engine {
  /** @throws ApiError `unavailable` when Temporal is known to be away; nothing was accepted then. */
  requireAvailable(): void;
  start(session: EngineSession): Promise<void>;
  /** Starts the workflow when it is not running: any signal revives a session. */
  signal<Name extends SignalName>(
    name: Name,
    session: EngineSession,
    argument: SignalArguments[Name],
  ): Promise<void>;
  /** Something was left to a webhook's endpoint, or it is to be looked at again; starts its workflow when it is not running. */
  endpoint(webhookId: string): Promise<void>;
  /**
   * Undefined when no workflow answers within the time that a client would wait.
   * @param missing A session whose workflow is started if there is none: it was made a moment ago, or its run was lost.
   */
  state(sessionId: string, missing?: EngineSession): Promise<EngineState | undefined>;
  /** Whether a run is open now. */
  isRunning(sessionId: string): Promise<boolean>;
  /**
   * Ends the open run when its history can't be replayed; the next word begins one with what the store knows.
   * @returns whether it has.
   */
  endUnreplayable(sessionId: string): Promise<boolean>;
  /** Whether Temporal still waits for this attempt: its run is open, and nothing has cancelled or replaced it. */
  isUnderWay(attempt: Attempt & { sessionId: string }): Promise<boolean>;
  /**
   * Ends an attempt whose worker is gone, so that the next one starts now; also a later one that this worker was given and
   * does not open. @returns false when none is under way.
   */
  failAttempt(lost: LostAttempt): Promise<boolean>;
  /** Ends what any other worker has taken of a session, so that this one gets it now; for when all others are known to be gone. */
  takeOver(sessionId: string, worker: string): Promise<void>;
  /** Ends the attempts for a session of which Temporal has heard nothing for so long. */
  endSilentAttempts(sessionId: string, silentMs: number): Promise<void>;
  /** Deletes all runs of a session, with their histories and visibility records. Temporal needs a moment to do so. */
  erase(sessionId: string, options: { evenOpen: boolean }): Promise<Erasure>;
  /**
   * The page with the session's Current Details; without a run, the page of the workflow. Null when the address of the UI is
   * not known.
   */
  urlOf(sessionId: string, runId?: string): string | null;
}
