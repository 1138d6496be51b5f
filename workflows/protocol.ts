// The names, ids and shapes shared by client, workflows and activities. Safe inside the workflow sandbox: types and
// constants only.

export const WORKFLOW_TYPE = 'session';
/** Sends the backlog of one webhook endpoint. */
export const ENDPOINT_WORKFLOW_TYPE = 'webhookEndpoint';

/** Temporal signal and query names. */
export const SIGNALS = {
  message: 'message',
  toolResult: 'toolResult',
  interrupt: 'interrupt',
  configure: 'configure',
  end: 'end',
  deliver: 'deliver',
} as const satisfies { [Name in SignalName]: Name };
export const QUERIES = { state: 'state' } as const;

/** Search attributes that distinguish sessions in the Temporal UI. All are of type Keyword. */
export const SEARCH_ATTRIBUTES = {
  account: 'OpenClawAccount',
  status: 'OpenClawStatus',
  model: 'OpenClawModel',
} as const;

/** Built-in tools have their own task queue, so a slow tool takes no slot from model calls. */
export const toolsTaskQueue = (taskQueue: string): string => `${taskQueue}-tools`;

/** Webhooks have their own task queue, so a slow endpoint takes no slot from model calls or tools. */
export const webhooksTaskQueue = (taskQueue: string): string => `${taskQueue}-webhooks`;

/** The Temporal UI lists endpoint workflows beside sessions, so the prefix names the kind. */
export const endpointWorkflowId = (webhookId: string): string => `webhook-${webhookId}`;

/** The session id is the workflow id, so each leads to the other. */
export const workflowId = (sessionId: string): string => sessionId;

/** When a run continues as new. */
export interface RunBounds {
  turnsPerRunMax: number;
  /**
   * Replay costs 0.5 ms of CPU per event. It must fit into the workflow task's 5 s, even with several replays on a busy
   * machine. Temporal suggests continue-as-new only after 4,000 events. A turn adds ten events, or twenty when webhooks
   * are sent.
   */
  eventsPerRunMax: number;
  /** A full run waits at most this long for the next message or result before it continues as new. */
  quietMs: number;
}

export const RUN_BOUNDS: Readonly<RunBounds> = { turnsPerRunMax: 100, eventsPerRunMax: 300, quietMs: 1_000 };

/** Temporal's minimum interval between the starts of two runs of a workflow. A run that ends earlier delays the next one. */
export const RUN_MS_MIN = 1_500;

/** Bounds are part of the input, so a run keeps the bounds it started with. Runs started by earlier versions lack some. */
export interface SessionInput extends Partial<RunBounds> {
  sessionId: string;
  /** The pure state of the previous run. If absent, the workflow loads a snapshot from the store. */
  carried?: SessionState;
  /** The previous run had deliveries due or in flight. */
  isDue?: true;
}

export interface MessageSignal {
  messageId: string;
  replyId: string;
  position: number;
  /** The beginning of the text, for readers of the Temporal UI. Empty when previews are off. */
  preview: string;
  expiresAtMs: number | null;
  /** The reply that the store interrupted when it accepted this message. */
  interrupts?: string;
}

export interface InterruptSignal {
  /** The reply to interrupt. The workflow ignores the signal for any other reply. */
  replyId: string;
}

/** A call has a result row. The result itself stays in the store. */
export interface ToolResultSignal {
  callId: string;
}

/** The settings that the workflow displays or waits for. Each turn reads the others from the store. */
export interface ConfigureSignal {
  model: string;
  expiresAtMs: number | null;
}

export type EndReason = 'completed' | 'expired' | 'archived' | 'deleted';

export interface EndSignal {
  reason: EndReason;
  /** Deliveries are due and must be sent before the run ends. */
  isDue?: true;
}

/** The signals of a session with their arguments. */
export interface SignalArguments {
  message: MessageSignal;
  toolResult: ToolResultSignal;
  interrupt: InterruptSignal;
  configure: ConfigureSignal;
  end: EndSignal;
  /** Deliveries are due. The rows name them. */
  deliver: Record<string, never>;
}

export type SignalName = keyof SignalArguments;

/** A message that the workflow knows and has not finished. */
export interface PendingMessage {
  messageId: string;
  replyId: string;
  position: number;
  preview: string;
}

/** A tool call whose result the next step waits for. */
export interface PendingCall {
  callId: string;
  name: string;
  /** When the model made the call. Absent in sessions carried over from an earlier version. */
  sinceMs?: number;
  expiresAtMs: number | null;
  /** Our worker runs the call. If absent, the client runs it. */
  isBuiltIn?: true;
}

export interface RunningTurn extends PendingMessage {
  step: number;
  /** Present once the step is complete: the calls without a result. When empty, the next step can begin. */
  calls?: PendingCall[];
}

/** The workflow's complete memory. Continue-as-new carries it, and the store can rebuild it. */
export interface SessionState {
  /** The last message of the live branch that this workflow has finished. */
  head: string | null;
  running: RunningTurn | null;
  /** Sorted by position. */
  queue: PendingMessage[];
  ended: EndReason | null;
  expiresAtMs: number | null;
  model: string;
  account: string;
  /** Finished turns of the session, as counted by this workflow. */
  turns: number;
  /** A bounded shortcut against duplicate signals. The row's status is authoritative. */
  handled: string[];
  /** Ids of replies to interrupt, whose turns may not have begun yet. Bounded. */
  interrupts: string[];
  /** Calls whose results arrived since the store last reported the open calls. Bounded. */
  results?: string[];
  /** The last turns as text, for the Temporal UI. */
  outline: string[];
}

/** The result of the `state` query. */
export interface SessionStateAnswer {
  phase: 'idle' | 'running' | 'waiting_tool' | 'ended';
  reason: string | null;
  sinceMs: number;
  state: SessionState;
}

/** The store's view of a session, used when no workflow state exists. */
export interface SessionSnapshot {
  account: string;
  model: string;
  ended: EndReason | null;
  expiresAtMs: number | null;
  /** The head under the open reply, or the session's head if no reply is open. */
  head: string | null;
  open: RunningTurn | null;
  queue: PendingMessage[];
}

export interface ModelStepInput {
  sessionId: string;
  head: string | null;
  messageId: string;
  step: number;
}

export type TurnStatus = 'completed' | 'interrupted' | 'failed';

/** The outcome of a model step. Small on purpose: contents stay in the store. */
export type ModelStepResult =
  | {
      kind: 'settled';
      replyId: string;
      status: TurnStatus;
      head: string | null;
      /** The beginning of the reply, or of the error message. */
      preview: string;
      expiresAtMs: number | null;
    }
  /**
   * The store chose another message for this turn. The chosen message was accepted earlier, or is the copy of the
   * requested message for this head. With `again`, the requested message gets its own turn afterwards.
   */
  | { kind: 'instead'; message: PendingMessage; again: boolean }
  /** The step is complete and the model has called tools. The next step follows when these calls have results. */
  | { kind: 'tools'; step: number; calls: PendingCall[] }
  | { kind: 'gone' };

export interface ReplyInput {
  sessionId: string;
  head: string | null;
  replyId: string;
}

/** Identifies the row of a built-in tool's call. */
export interface ToolCallInput {
  sessionId: string;
  replyId: string;
  callId: string;
}

export interface FailToolCallInput extends ToolCallInput {
  reason: string;
}

/** Gives each expired call of a reply the agreed timeout result. */
export interface ExpireCallsInput extends ReplyInput {
  nowMs: number;
}

/** Selects the session whose due deliveries are sent. The rows name the deliveries. */
export interface DeliverInput {
  sessionId: string;
  /** The previous run left deliveries, either cut short or waiting for a retry. */
  isLeft?: true;
}

export interface EndpointInput {
  webhookId: string;
}

/** When the endpoint's next delivery is due. Null when none is left. */
export interface BacklogResult {
  nextAtMs: number | null;
}

export interface FailReplyInput extends ReplyInput {
  reason: string;
}

export interface ExpireInput {
  sessionId: string;
  /** The workflow's clock decides, so the timer and the row can't disagree. */
  nowMs: number;
}

export type ExpireResult = { ended: EndReason; isDue?: true } | { ended: null; expiresAtMs: number | null };
