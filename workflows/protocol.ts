// Every name, id and shape that client, workflow and activities share. Safe inside the workflow sandbox:
// nothing here but types and constants.

export const WORKFLOW_TYPE = 'session';
/** Of one webhook's endpoint: what could not be sent to it at once. */
export const ENDPOINT_WORKFLOW_TYPE = 'webhookEndpoint';

/** Names of Temporal's signals and queries. */
export const SIGNALS = {
  message: 'message',
  toolResult: 'toolResult',
  interrupt: 'interrupt',
  configure: 'configure',
  end: 'end',
  deliver: 'deliver',
} as const satisfies { [Name in SignalName]: Name };
export const QUERIES = { state: 'state' } as const;

/** Search attributes that tell sessions apart in the Temporal UI; all of type Keyword. */
export const SEARCH_ATTRIBUTES = {
  account: 'OpenClawAccount',
  status: 'OpenClawStatus',
  model: 'OpenClawModel',
} as const;

/** Where built-in tools run: beside the sessions, so that a slow tool keeps no model call from its place. */
export const toolsTaskQueue = (taskQueue: string): string => `${taskQueue}-tools`;

/** Where webhooks are sent from: a receiver that does not answer keeps neither a model call nor a tool from its place. */
export const webhooksTaskQueue = (taskQueue: string): string => `${taskQueue}-webhooks`;

/** Shown beside the sessions in the Temporal UI, so it says what it is. */
export const endpointWorkflowId = (webhookId: string): string => `webhook-${webhookId}`;

/** The session id is the workflow id, so that either finds the other. */
export const workflowId = (sessionId: string): string => sessionId;

/** When a run of a session is over and another one goes on. */
export interface RunBounds {
  turnsPerRunMax: number;
  /**
   * A replay costs half a millisecond of CPU an event, and must fit into its workflow task's 5 s also when several are
   * made at once on a busy machine. Temporal suggests to continue as new after 4,000 events, far too late for that.
   * A turn adds ten, twice as many when webhooks are sent.
   */
  eventsPerRunMax: number;
  /** Then it ends when nothing has come for so long, or when the next message has. */
  quietMs: number;
}

export const RUN_BOUNDS: Readonly<RunBounds> = { turnsPerRunMax: 100, eventsPerRunMax: 300, quietMs: 1_000 };

/** Temporal leaves so much between the starts of two runs of a workflow: one that ends sooner waits for the rest. */
export const RUN_MS_MIN = 1_500;

/** The bounds are in the input, so that a run that is under way keeps those it began with: earlier runs lack some. */
export interface SessionInput extends Partial<RunBounds> {
  sessionId: string;
  /** The whole pure state, when an earlier run handed it over; without it the store is asked. */
  carried?: SessionState;
  /** The run before had webhooks to send, or under way. */
  isDue?: true;
}

export interface MessageSignal {
  messageId: string;
  replyId: string;
  position: number;
  /** The beginning of the text, for people who read the Temporal UI. Empty when previews are off. */
  preview: string;
  expiresAtMs: number | null;
  /** The reply that this message's acceptance has ended in the store. */
  interrupts?: string;
}

export interface InterruptSignal {
  /** The reply that is meant; for any other the signal is ignored. */
  replyId: string;
}

/** A call has a result row; what it says is in the store. */
export interface ToolResultSignal {
  callId: string;
}

/** What of a session's settings the workflow shows or waits for; the rest is read from the store at each turn. */
export interface ConfigureSignal {
  model: string;
  expiresAtMs: number | null;
}

export type EndReason = 'completed' | 'expired' | 'archived' | 'deleted';

export interface EndSignal {
  reason: EndReason;
  /** Webhooks are to be sent before the run is over. */
  isDue?: true;
}

/** The signals of a session, each with its argument. */
export interface SignalArguments {
  message: MessageSignal;
  toolResult: ToolResultSignal;
  interrupt: InterruptSignal;
  configure: ConfigureSignal;
  end: EndSignal;
  /** Webhooks are to be sent; the rows hold which. */
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

/** A call of a tool that the next step waits for. */
export interface PendingCall {
  callId: string;
  name: string;
  /** When the model has called it; without it the session was handed over by an earlier version. */
  sinceMs?: number;
  expiresAtMs: number | null;
  /** Run by a worker of ours; without it the client is to run it. */
  isBuiltIn?: true;
}

export interface RunningTurn extends PendingMessage {
  step: number;
  /** When the step is complete: its calls without a result. Empty, the next step can begin. */
  calls?: PendingCall[];
}

/** The workflow's whole memory: what continue-as-new carries and what the store can rebuild. */
export interface SessionState {
  /** Last message of the live branch that this workflow has finished. */
  head: string | null;
  running: RunningTurn | null;
  /** By position. */
  queue: PendingMessage[];
  ended: EndReason | null;
  expiresAtMs: number | null;
  model: string;
  account: string;
  /** Finished turns of the whole session, as far as this workflow saw them. */
  turns: number;
  /** A bounded shortcut against signals that come twice; the row's status is the dedupe of record. */
  handled: string[];
  /** Replies to stop, by name: their turn may not have begun yet. Bounded. */
  interrupts: string[];
  /** Calls whose result has come since the store last said which are open. Bounded. */
  results?: string[];
  /** The last turns in words, for the Temporal UI. */
  outline: string[];
}

/** Answer of the `state` query. */
export interface SessionStateAnswer {
  phase: 'idle' | 'running' | 'waiting_tool' | 'ended';
  reason: string | null;
  sinceMs: number;
  state: SessionState;
}

/** What the store knows of a session that has no workflow to ask. */
export interface SessionSnapshot {
  account: string;
  model: string;
  ended: EndReason | null;
  expiresAtMs: number | null;
  /** The head under the open reply, or the session's head when none is open. */
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

/** What a model step came to. Small on purpose: contents stay in the store. */
export type ModelStepResult =
  | {
      kind: 'settled';
      replyId: string;
      status: TurnStatus;
      head: string | null;
      /** The beginning of the answer, or of what went wrong. */
      preview: string;
      expiresAtMs: number | null;
    }
  /**
   * The store has decided that another message has its turn now: one that was accepted earlier, or the copy of
   * the one asked for that belongs to this head. With `again` the one asked for has its own turn after that.
   */
  | { kind: 'instead'; message: PendingMessage; again: boolean }
  /** The step is complete and the model has called tools: a further step follows when these calls have results. */
  | { kind: 'tools'; step: number; calls: PendingCall[] }
  | { kind: 'gone' };

export interface ReplyInput {
  sessionId: string;
  head: string | null;
  replyId: string;
}

/** A built-in tool's call, as its row has it. */
export interface ToolCallInput {
  sessionId: string;
  replyId: string;
  callId: string;
}

export interface FailToolCallInput extends ToolCallInput {
  reason: string;
}

/** Gives the calls of a reply whose time is over the result that was agreed on. */
export interface ExpireCallsInput extends ReplyInput {
  nowMs: number;
}

/** What is due to be sent of a session; the rows say what that is. */
export interface DeliverInput {
  sessionId: string;
  /** The run before has left it, cut short or waiting for its next try. */
  isLeft?: true;
}

export interface EndpointInput {
  webhookId: string;
}

/** When an endpoint has something to be sent next; null when nothing is left. */
export interface BacklogResult {
  nextAtMs: number | null;
}

export interface FailReplyInput extends ReplyInput {
  reason: string;
}

export interface ExpireInput {
  sessionId: string;
  /** The workflow's clock decides, so that a timer and the row can't disagree. */
  nowMs: number;
}

export type ExpireResult = { ended: EndReason; isDue?: true } | { ended: null; expiresAtMs: number | null };
