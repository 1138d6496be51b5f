// What the HTTP facade may ask of the services. Rules live behind it; no Express, no SQL in these shapes.
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

/** Who is calling: what a valid key or client token says. */
export interface Caller {
  accountId: string;
  /** Of a client token: the key that made it. */
  keyId: string;
  level: Level;
  /** Absent for a key, which may do whatever its level may. */
  grant?: ClientGrant;
}

/** All that a client token may do. */
export interface ClientGrant {
  /** Names the token without telling it. */
  tokenId: string;
  sessionIds: ReadonlySet<string>;
  scopes: ReadonlySet<ClientScope>;
}

/** An `Idempotency-Key` with what it is bound to. */
export interface Idempotency {
  key: string;
  /** Method and concrete path. */
  route: string;
  /** Digest of the parsed body, the same for the same JSON value. */
  fingerprint: string;
}

/** What a write has come to, and whether an earlier request with the same key did it. */
export interface Written<T> {
  value: T;
  replayed: boolean;
}

/** Where a page starts: the sort values of the last row of the page before. Opaque to the facade. */
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

/** Every write takes the request's key last; null when it has none. */
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

/** A message that is stored and will be answered; everything after this point is reading. */
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
   * Waits until the reply is over or needs the caller, at most the configured time.
   * `settled` false: still going on, the answer is a 202.
   */
  waitForReply(
    accepted: AcceptedMessage,
    signal: AbortSignal,
  ): Promise<{ message: Message; settled: boolean }>;
  /** The accepted message's reply with what is missing, when it is queued behind a turn that waits for the client. */
  behindWaitingTurn(accepted: AcceptedMessage): Promise<Message | undefined>;
  /** The reply's events in order, ending after the final one. Ends early when `signal` aborts. */
  followReply(accepted: AcceptedMessage, signal: AbortSignal): AsyncIterable<SessionEvent>;
  list(caller: Caller, sessionId: string, page: PageRequest): Promise<Slice<Message>>;
  get(caller: Caller, sessionId: string, messageId: string): Promise<Message>;
}

export interface ToolsService {
  list(caller: Caller, sessionId: string, page: PageRequest): Promise<Slice<Tool>>;
  /** Adds the tool, or replaces the one of that name. */
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

/** What has become of submitted results, and the reply that they belong to, for those who go on following it. */
export interface SubmittedResults {
  tool_call: ShownToolCall;
  tool_calls: ShownToolCall[];
  /** Calls of the reply that still want a result. */
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

/** Events between two seqs, neither of which is among them. */
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
   * The log after a seq, or from its end on when `after` is null, and what is appended from then on. `events` ends
   * without an error when `signal` aborts, and when the session is deleted.
   * @returns with the seq of the last event of now.
   * @throws ApiError `invalid_request` when `after` is more than that; it names what the client has sent it as.
   */
  follow(
    caller: Caller,
    sessionId: string,
    query: { after: number | null; sentAs?: 'after' | 'Last-Event-ID' } & EventFilter,
    signal: AbortSignal,
  ): Promise<{ tailSeq: number; events: AsyncIterable<SessionEvent> }>;
}

export interface ClientTokensService {
  /** @throws ApiError `invalid_api_key`, `expired_api_key`: of the token, or of the key that made it. */
  authenticate(token: string): Promise<Caller>;
  /** The token is shown once: a replay has null in its place. */
  create(caller: Caller, body: CreateClientToken, idempotency: Key): Promise<Written<ClientToken>>;
}

export interface ApiKeysService {
  /** @throws ApiError `invalid_api_key`, `expired_api_key` */
  authenticate(presentedKey: string): Promise<Caller>;
  /** The key itself is shown once: a replay has null in its place. */
  create(caller: Caller, body: CreateApiKey, idempotency: Key): Promise<Written<CreatedApiKey>>;
  list(caller: Caller, page: PageRequest): Promise<Slice<ApiKey>>;
  revoke(caller: Caller, keyId: string, idempotency: Key): Promise<Written<Deleted>>;
}

export interface WebhooksService {
  /** The secret is shown once: a replay has null in its place. */
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
  /** One try of an event that never was, awaited. */
  test(caller: Caller, webhookId: string, body: TestWebhook, idempotency: Key): Promise<Written<Delivery>>;
  /** From the beginning of its schedule. */
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
   * Of an API key or a client token.
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
