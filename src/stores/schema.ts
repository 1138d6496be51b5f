// The tables of both SQLite and PostgreSQL: text, integers, and JSON stored as text, because jsonb reorders keys and refuses NUL.
// Times are milliseconds since the epoch.
import type { Insertable, Selectable, Updateable } from 'kysely';
import type { Level } from '../contracts/api-keys.ts';
import type { EventType, WebhookEventType } from '../contracts/events.ts';
import type { MessageStatus, OnBusy } from '../contracts/messages.ts';
import type { SessionStatus } from '../contracts/sessions.ts';
import type { OnTimeout, ToolCall, ToolCallStatus } from '../contracts/tools.ts';
import type { DeliveryStatus, WebhookStatus } from '../contracts/webhooks.ts';

export interface AccountsTable {
  id: string;
  name: string;
  created_at: number;
}

export interface ApiKeysTable {
  id: string;
  account_id: string;
  name: string;
  level: Level;
  /** HMAC of the key. The key itself is never stored. */
  hash: string;
  prefix: string;
  created_at: number;
  expires_at: number | null;
  last_used_at: number | null;
  revoked_at: number | null;
}

/** Tokens and cost in nano-dollars, summed over all model calls. */
export interface UsageColumns {
  input_tokens: number;
  output_tokens: number;
  cache_creation_input_tokens: number;
  cache_read_input_tokens: number;
  cost_nano_usd: number;
}

/** The activity attempt that writes the open reply, renewed while the attempt runs. */
export interface LeaseColumns {
  /** Identity of the worker, one per process. */
  lease_worker: string | null;
  lease_run_id: string | null;
  lease_activity_id: string | null;
  lease_attempt: number | null;
  lease_renewed_at: number | null;
}

export interface SessionsTable extends UsageColumns, LeaseColumns {
  id: string;
  account_id: string;
  parent_session_id: string | null;
  title: string | null;
  model: string;
  system_prompt: string | null;
  /** JSON: the entries as given. */
  tools: string;
  /** JSON object of strings. `session_metadata` is its index. */
  metadata: string;
  /** JSON: max_tokens, temperature, thinking. */
  turn_options: string;
  /** JSON: system prompt, tools and turn options at the start of the open reply's turn, if changed since, with the reply's id. */
  turn_settings: string | null;
  on_busy: OnBusy;
  status: SessionStatus;
  ended_reason: 'completed' | 'expired' | 'archived' | 'deleted' | null;
  ended_at: number | null;
  expires_after_seconds: number | null;
  expires_at: number | null;
  created_at: number;
  updated_at: number;
  /** The last event's number. */
  seq: number;
  /** Raised by each new writer of the open reply. Writers with an older fence are refused. */
  fence: number;
  /** Last message of the live branch. */
  head: string | null;
  /** The reply being written, if any. */
  open_reply_id: string | null;
  /** JSON: the ledger row of the model call in flight, as far as the provider has reported it. Null without a call. */
  open_call: string | null;
  next_position: number;
  message_count: number;
  /** Set when the contents were removed. The row stays as a tombstone. */
  deleted_at: number | null;
  /** When the write-ahead log and Temporal held nothing of a deleted session any more, or the server gave up. */
  erased_at: number | null;
  /** The reconciler checks the session again after this time. */
  check_at: number;
}

export interface SessionMetadataTable {
  session_id: string;
  /** Copied from the session, so one index finds an account's sessions with a pair, in their order. */
  account_id: string;
  created_at: number;
  key: string;
  value: string;
}

export interface MessagesTable extends UsageColumns {
  id: string;
  session_id: string;
  account_id: string;
  role: 'user' | 'assistant';
  status: MessageStatus;
  parent_id: string | null;
  /** Distance from the root of the tree. Null until the message is attached to a branch. */
  depth: number | null;
  /** Order in which the session accepted its user messages. */
  position: number | null;
  /** On a user message: the reply that answers it. */
  reply_id: string | null;
  /** On a user message: the reply that this message interrupted. */
  interrupts_reply_id: string | null;
  /** On a user message: the reply to end in favour of this message, if the reply would need another step. */
  steers_reply_id: string | null;
  text: string;
  /** JSON: content blocks as the API shows them. */
  blocks: string;
  /** JSON: options of this turn only. */
  turn_options: string;
  model: string | null;
  stop_reason: string | null;
  /** JSON: the four error keys, or null. */
  error: string | null;
  copy_of: string | null;
  created_at: number;
  completed_at: number | null;
}

/** One completed model call of a turn, with the model's own blocks for later calls. */
export interface StepsTable {
  reply_id: string;
  n: number;
  session_id: string;
  /** JSON: blocks in the Messages API's shape. */
  blocks: string;
  stop_reason: string | null;
  completed_at: number;
}

/**
 * The outcome of a model call. `interrupted`: the user closed the reply, or the session ended. `superseded`: another attempt has
 * replaced the call, or will.
 */
export type CallOutcome = 'completed' | 'failed' | 'interrupted' | 'superseded';

/** One tool call of the model, with its result once there is a result. */
export interface ToolCallsTable {
  id: string;
  session_id: string;
  account_id: string;
  /** The reply whose step made the call. */
  message_id: string;
  step: number;
  /** Order within the step. */
  position: number;
  /** The provider's own id of the call. Its result is matched by this id. */
  provider_id: string;
  name: string;
  type: ToolCall['type'];
  /** JSON: the input, with defaults applied. */
  parameters: string;
  status: ToolCallStatus;
  /** JSON: the tool's output. */
  result: string | null;
  /** 0 or 1. */
  is_error: number;
  on_timeout: OnTimeout;
  expires_at: number | null;
  created_at: number;
  completed_at: number | null;
}

/** The ledger of every ended model call, with any outcome. */
export interface ModelCallsTable extends UsageColumns {
  id: string;
  session_id: string;
  reply_id: string;
  step: number;
  model: string;
  outcome: CallOutcome;
  error_code: string | null;
  ended_at: number;
}

export interface EventsTable {
  session_id: string;
  seq: number;
  id: string;
  type: EventType;
  message_id: string | null;
  /** JSON: the event's fields besides its envelope. */
  data: string;
  created_at: number;
}

export interface WebhooksTable {
  id: string;
  account_id: string;
  url: string;
  /** JSON: names of events, or `["*"]`. */
  events: string;
  description: string | null;
  /** JSON: `session_id`, `metadata`. Null matches every session. */
  filter: string | null;
  status: WebhookStatus;
  disabled_reason: string | null;
  /** Encrypted. */
  secret: string;
  /** Encrypted. Signs together with `secret` until `next_secret_at`, and replaces it from then on. */
  next_secret: string | null;
  next_secret_at: number | null;
  /** When the current series of failures began. */
  failing_since: number | null;
  /** The breaker pauses the endpoint until this time. */
  open_until: number | null;
  /** Failures since the last success. */
  failures_in_row: number;
  created_at: number;
  updated_at: number;
}

/** One event for one endpoint. The row outlives the endpoint, so its outcome stays readable. */
export interface DeliveriesTable {
  id: string;
  webhook_id: string;
  account_id: string;
  /** Null for a test event, which has no session. */
  session_id: string | null;
  event_id: string;
  event_type: WebhookEventType;
  seq: number | null;
  /** The exact text signed and sent, the same in every attempt. Empty once its session is deleted. */
  body: string;
  status: DeliveryStatus;
  /** JSON: the newest attempts as `StoredAttempt`s, oldest first. */
  attempts: string;
  /** Attempts of the current schedule. Starts again at zero when a client asks for the delivery again. */
  attempt_count: number;
  /** Null: no automatic attempt follows. */
  next_attempt_at: number | null;
  /** Whose workflow sends the delivery next. */
  owner: 'session' | 'endpoint';
  lease_until: number | null;
  lease_by: string | null;
  created_at: number;
  completed_at: number | null;
}

/** One attempt in `deliveries.attempts`. */
export interface StoredAttempt {
  /** Milliseconds. */
  at: number;
  status_code: number | null;
  duration_ms: number;
  error: string | null;
}

export interface IdempotencyKeysTable {
  account_id: string;
  route: string;
  key: string;
  fingerprint: string;
  /** Read by processes of the previous version in place of `result`. */
  resource_id: string;
  /** JSON: the data to repeat the response. Null on keys of the previous version. */
  result: string | null;
  created_at: number;
}

/** A signal for a session's workflow, kept until Temporal has accepted it. */
export interface OutboxTable {
  id: number;
  session_id: string;
  /** A name of `SIGNALS`, or `start`. */
  signal: string;
  /** JSON: the signal's argument. */
  argument: string;
  /** The reconciler sends the signal after this time. */
  due_at: number;
}

export interface InstallationTable {
  name: string;
  value: string;
}

export interface Tables {
  installation: InstallationTable;
  accounts: AccountsTable;
  api_keys: ApiKeysTable;
  sessions: SessionsTable;
  session_metadata: SessionMetadataTable;
  messages: MessagesTable;
  steps: StepsTable;
  tool_calls: ToolCallsTable;
  model_calls: ModelCallsTable;
  events: EventsTable;
  webhooks: WebhooksTable;
  deliveries: DeliveriesTable;
  outbox: OutboxTable;
  idempotency_keys: IdempotencyKeysTable;
}

export type ApiKeyRow = Selectable<ApiKeysTable>;
export type SessionRow = Selectable<SessionsTable>;
export type SessionPatch = Updateable<SessionsTable>;
export type MessageRow = Selectable<MessagesTable>;
export type MessagePatch = Updateable<MessagesTable>;
export type NewMessage = Insertable<MessagesTable>;
export type StepRow = Selectable<StepsTable>;
export type ToolCallRow = Selectable<ToolCallsTable>;
export type ToolCallPatch = Updateable<ToolCallsTable>;
export type EventRow = Selectable<EventsTable>;
export type ModelCallRow = Selectable<ModelCallsTable>;
export type WebhookRow = Selectable<WebhooksTable>;
export type WebhookPatch = Updateable<WebhooksTable>;
export type DeliveryRow = Selectable<DeliveriesTable>;
export type DeliveryPatch = Updateable<DeliveriesTable>;
export type OutboxRow = Selectable<OutboxTable>;
export type IdempotencyRow = Selectable<IdempotencyKeysTable>;

export const NO_LEASE: LeaseColumns = {
  lease_worker: null,
  lease_run_id: null,
  lease_activity_id: null,
  lease_attempt: null,
  lease_renewed_at: null,
};

/** Columns of a session that DELETE keeps or sets itself. */
type LastingColumn =
  | 'id'
  | 'account_id'
  | 'parent_session_id'
  | 'model'
  | 'on_busy'
  | 'status'
  | 'ended_reason'
  | 'ended_at'
  | 'expires_after_seconds'
  | 'expires_at'
  | 'created_at'
  | 'updated_at'
  | 'seq'
  | 'fence'
  | 'next_position'
  | 'message_count'
  | 'deleted_at'
  | 'erased_at'
  | 'check_at'
  | keyof UsageColumns
  | keyof LeaseColumns;

/** The contents of a session before anything is set, and after DELETE. Every column is listed here or in `LastingColumn`. */
export const EMPTY_CONTENTS = {
  title: null,
  system_prompt: null,
  tools: '[]',
  metadata: '{}',
  turn_options: '{}',
  turn_settings: null,
  head: null,
  open_reply_id: null,
  open_call: null,
} satisfies Omit<SessionsTable, LastingColumn>;

export const NO_USAGE: UsageColumns = {
  input_tokens: 0,
  output_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  cost_nano_usd: 0,
};

export function addUsage(a: UsageColumns, b: UsageColumns): UsageColumns {
  return {
    input_tokens: a.input_tokens + b.input_tokens,
    output_tokens: a.output_tokens + b.output_tokens,
    cache_creation_input_tokens: a.cache_creation_input_tokens + b.cache_creation_input_tokens,
    cache_read_input_tokens: a.cache_read_input_tokens + b.cache_read_input_tokens,
    cost_nano_usd: a.cost_nano_usd + b.cost_nano_usd,
  };
}

export function subtractUsage(a: UsageColumns, b: UsageColumns): UsageColumns {
  return {
    input_tokens: a.input_tokens - b.input_tokens,
    output_tokens: a.output_tokens - b.output_tokens,
    cache_creation_input_tokens: a.cache_creation_input_tokens - b.cache_creation_input_tokens,
    cache_read_input_tokens: a.cache_read_input_tokens - b.cache_read_input_tokens,
    cost_nano_usd: a.cost_nano_usd - b.cost_nano_usd,
  };
}
