// The services' interface for the HTTP facade. The rules live behind this interface, and its shapes contain no Express
// and no SQL.
import type { ApiKey, CreateApiKey, CreatedApiKey, Level } from '../contracts/api-keys.ts';
import type { ClientScope, ClientToken, CreateClientToken } from '../contracts/client-tokens.ts';
import type { Deleted } from '../contracts/common.ts';
import type { EventType, SessionEvent } from '../contracts/events.ts';
import type { Readiness } from '../contracts/health.ts';
import type { CreateMessage, Message, ShownMessage } from '../contracts/messages.ts';
import type { ModelEntry } from '../contracts/models.ts';
import type {
  CreateSession,
  Interrupted,
  Session,
  SessionRange,
  SessionState,
  SessionSummary,
  SessionTraits,
  UpdateSession,
} from '../contracts/sessions.ts';
import type {
  CreateTool,
  ShownToolCall,
  SubmitToolResults,
  Tool,
  ToolCall,
  ToolCallStatus,
} from '../contracts/tools.ts';
import type {
  CreateWebhook,
  Delivery,
  DeliveryStatus,
  ReplayDeliveries,
  Replayed,
  RotateSecret,
  TestWebhook,
  UpdateWebhook,
  Webhook,
  WebhookWithSecret,
} from '../contracts/webhooks.ts';

/** The caller as identified by a valid key or client token. */
export interface Caller {
  accountId: string;
  /** For a client token: the key that made the token. */
  keyId: string;
  level: Level;
  /** Absent for a key, which may do everything that its level allows. */
  grant?: ClientGrant;
}

/** The complete rights of a client token. */
export interface ClientGrant {
  /** Identifies the token without revealing it. */
  tokenId: string;
  sessionIds: ReadonlySet<string>;
  scopes: ReadonlySet<ClientScope>;
}

/** An `Idempotency-Key` and the request it belongs to. */
export interface Idempotency {
  key: string;
  /** Method and concrete path. */
  route: string;
  /** Digest of the parsed body, the same for the same JSON value. */
  fingerprint: string;
}

/** The result of a write, and whether an earlier request with the same key made the write. */
export interface Written<T> {
  value: T;
  replayed: boolean;
}

/** The start of a page: the sort values of the previous page's last row. Opaque to the facade. */
export type Position = (string | number)[];

export interface Slice<T> {
  data: T[];
  /** Null on the last page. */
  next: Position | null;
}

export interface PageRequest {
  limit: number;
  order: 'asc' | 'desc';
  after: Position | null;
}

export interface SessionFilter extends SessionTraits, SessionRange {
  metadata: Record<string, string>;
}

/** The last argument of every write: the request's key, or null if the request has none. */
type Key = Idempotency | null;

export interface SessionsService {
  create(caller: Caller, body: CreateSession, idempotency: Key): Promise<Written<Session>>;
  list(caller: Caller, filter: SessionFilter, page: PageRequest): Promise<Slice<SessionSummary>>;
  get(caller: Caller, sessionId: string, options: { includeState: boolean }): Promise<Session>;
  update(caller: Caller, sessionId: string, body: UpdateSession, idempotency: Key): Promise<Written<Session>>;
  delete(caller: Caller, sessionId: string, idempotency: Key): Promise<Written<Deleted>>;
  complete(caller: Caller, sessionId: string, idempotency: Key): Promise<Written<Session>>;
  archive(caller: Caller, sessionId: string, idempotency: Key): Promise<Written<Session>>;
  interrupt(caller: Caller, sessionId: string, idempotency: Key): Promise<Written<Interrupted>>;
  state(caller: Caller, sessionId: string): Promise<SessionState>;
}

/** A message that is stored and will get a reply. Everything after this point is reading. */
export interface AcceptedMessage {
  sessionId: string;
  userMessageId: string;
  replyId: string;
  /** Reading the log after this seq shows every event of the reply. */
  afterSeq: number;
}

export interface MessagesService {
  accept(
    caller: Caller,
    sessionId: string,
    body: CreateMessage,
    idempotency: Key,
  ): Promise<Written<AcceptedMessage>>;
  /**
   * Waits until the reply is over or needs the caller, at most the configured time. `settled` is false while the reply
   * continues, and the response is a 202.
   */
  waitForReply(
    accepted: AcceptedMessage,
    signal: AbortSignal,
  ): Promise<{ message: Message; settled: boolean }>;
  /** The accepted message's reply with the missing results, if it is queued behind a turn that waits for the client. */
  behindWaitingTurn(accepted: AcceptedMessage): Promise<Message | undefined>;
  /** The reply's events in order, ending after the final event. Ends early when `signal` aborts. */
  followReply(accepted: AcceptedMessage, signal: AbortSignal): AsyncIterable<SessionEvent>;
  list(caller: Caller, sessionId: string, page: PageRequest): Promise<Slice<Message>>;
  get(caller: Caller, sessionId: string, messageId: string): Promise<Message>;
}

export interface ToolsService {
  list(caller: Caller, sessionId: string, page: PageRequest): Promise<Slice<Tool>>;
  /** Adds the tool, or replaces the tool of the same name. */
  add(
    caller: Caller,
    sessionId: string,
    entry: CreateTool,
    idempotency: Key,
  ): Promise<Written<{ tool: Tool; replaced: boolean }>>;
  remove(caller: Caller, sessionId: string, name: string, idempotency: Key): Promise<Written<Deleted>>;
}

export interface ToolCallFilter {
  sessionId?: string;
  status?: ToolCallStatus[];
  name?: string;
}

/** The outcome of submitted results, and their reply for clients that continue to follow it. */
export interface SubmittedResults {
  tool_call: ShownToolCall;
  tool_calls: ShownToolCall[];
  /** Calls of the reply that still need a result. */
  pending: string[];
  message: ShownMessage;
  truncated?: true;
  url?: string;
  reply: AcceptedMessage;
}

export interface ToolCallsService {
  list(caller: Caller, filter: ToolCallFilter, page: PageRequest): Promise<Slice<ToolCall>>;
  submit(
    caller: Caller,
    sessionId: string,
    body: SubmitToolResults,
    idempotency: Key,
  ): Promise<Written<SubmittedResults>>;
}

export interface EventFilter {
  types: EventType[] | null;
  messageId: string | null;
}

/** Events between two seqs, both exclusive. */
export interface LogPage {
  order: 'asc' | 'desc';
  after: number;
  before?: number;
  limit: number;
}

export interface EventsService {
  page(
    caller: Caller,
    sessionId: string,
    query: LogPage & EventFilter,
  ): Promise<{ data: SessionEvent[]; hasMore: boolean }>;
  /**
   * The log after a seq, or new events only when `after` is null, followed by later events. `events` ends without an
   * error when `signal` aborts, and when the session is deleted.
   * @returns with the seq of the last event at the time of the call.
   * @throws ApiError `invalid_request` when `after` is greater than that seq. The error names the client's parameter.
   */
  follow(
    caller: Caller,
    sessionId: string,
    query: { after: number | null; sentAs?: 'after' | 'Last-Event-ID' } & EventFilter,
    signal: AbortSignal,
  ): Promise<{ tailSeq: number; events: AsyncIterable<SessionEvent> }>;
}

export interface ClientTokensService {
  /** @throws ApiError `invalid_api_key`, `expired_api_key`: for the token, or for the key that made the token. */
  authenticate(token: string): Promise<Caller>;
  /** The token is shown once. A replay returns null instead. */
  create(caller: Caller, body: CreateClientToken, idempotency: Key): Promise<Written<ClientToken>>;
}

export interface ApiKeysService {
  /** @throws ApiError `invalid_api_key`, `expired_api_key` */
  authenticate(presentedKey: string): Promise<Caller>;
  /** The key itself is shown once. A replay returns null instead. */
  create(caller: Caller, body: CreateApiKey, idempotency: Key): Promise<Written<CreatedApiKey>>;
  list(caller: Caller, page: PageRequest): Promise<Slice<ApiKey>>;
  revoke(caller: Caller, keyId: string, idempotency: Key): Promise<Written<Deleted>>;
}

export interface WebhooksService {
  /** The secret is shown once. A replay returns null instead. */
  create(caller: Caller, body: CreateWebhook, idempotency: Key): Promise<Written<WebhookWithSecret>>;
  list(caller: Caller, page: PageRequest): Promise<Slice<Webhook>>;
  get(caller: Caller, webhookId: string): Promise<Webhook>;
  update(caller: Caller, webhookId: string, body: UpdateWebhook, idempotency: Key): Promise<Written<Webhook>>;
  /** The new secret, shown once as at creation. */
  rotateSecret(
    caller: Caller,
    webhookId: string,
    body: RotateSecret,
    idempotency: Key,
  ): Promise<Written<WebhookWithSecret>>;
  delete(caller: Caller, webhookId: string, idempotency: Key): Promise<Written<Deleted>>;
}

export interface DeliveryFilter {
  status?: DeliveryStatus[];
}

export interface DeliveriesService {
  list(
    caller: Caller,
    webhookId: string,
    filter: DeliveryFilter,
    page: PageRequest,
  ): Promise<Slice<Delivery>>;
  get(caller: Caller, deliveryId: string): Promise<Delivery>;
  /** Sends a test event once and waits for the outcome. */
  test(caller: Caller, webhookId: string, body: TestWebhook, idempotency: Key): Promise<Written<Delivery>>;
  /** Restarts the delivery's retry schedule. */
  redeliver(caller: Caller, deliveryId: string, idempotency: Key): Promise<Written<Delivery>>;
  replay(
    caller: Caller,
    webhookId: string,
    body: ReplayDeliveries,
    idempotency: Key,
  ): Promise<Written<Replayed>>;
}

export interface Services {
  /**
   * Accepts an API key or a client token.
   * @throws ApiError `invalid_api_key`, `expired_api_key`
   */
  authenticate(presented: string): Promise<Caller>;
  sessions: SessionsService;
  messages: MessagesService;
  tools: ToolsService;
  toolCalls: ToolCallsService;
  events: EventsService;
  apiKeys: Omit<ApiKeysService, 'authenticate'>;
  clientTokens: Pick<ClientTokensService, 'create'>;
  webhooks: WebhooksService;
  deliveries: DeliveriesService;
  models: { list(): ModelEntry[] };
  health: { readiness(): Promise<Readiness> };
}
