// What the rest of the server knows of a model: one streamed call, its result, its failure. No SDK types here.

/** Tokens as the Messages API reports them. */
export interface ModelUsage {
  inputTokens: number;
  outputTokens: number;
  cacheCreationInputTokens: number;
  cacheReadInputTokens: number;
}

/** A content block in the Messages API's own shape (`text`, `thinking`, `tool_use`, ... and types not known yet). */
export type ModelBlock = { type: string } & Record<string, unknown>;

export interface ModelMessage {
  role: 'user' | 'assistant';
  content: ModelBlock[];
}

export interface ModelTool {
  name: string;
  description: string;
  inputSchema: Record<string, unknown>;
}

export interface ModelRequest {
  /** The name the provider is asked for, after aliases were resolved. */
  model: string;
  system: string | null;
  messages: ModelMessage[];
  tools: ModelTool[];
  maxTokens: number;
  temperature: number | null;
  /** Claude's own `thinking` object, passed through. */
  thinking: Record<string, unknown> | null;
}

export interface ModelCallOptions {
  /** Aborting it ends the HTTP call; the promise rejects with the signal's reason. */
  signal: AbortSignal;
  /** Each piece of visible text in order: never empty, never half of a surrogate pair, never NUL. */
  onText: (text: string) => void;
  /** What the call has cost so far, whenever the provider says so: known even of a call that is aborted. */
  onUsage: (usage: ModelUsage) => void;
}

export interface ModelReply {
  blocks: ModelBlock[];
  stopReason: string | null;
  /** The model that the provider says has answered. */
  model: string;
  usage: ModelUsage;
}

/** One streamed call to a model. It never retries by itself: Temporal does. */
export interface Model {
  /** @throws {ModelCallError} for everything but an abort. */
  stream(request: ModelRequest, options: ModelCallOptions): Promise<ModelReply>;
}

export type ModelErrorCode =
  | 'model_authentication'
  | 'model_invalid_request'
  | 'model_overloaded'
  | 'model_unavailable'
  | 'context_too_long';

/** A model call that failed. `retryable` false means the same request will fail again. */
export class ModelCallError extends Error {
  override readonly name = 'ModelCallError';
  readonly code: ModelErrorCode;
  readonly retryable: boolean;
  readonly status: number | null;
  /** From the provider's `retry-after` (seconds or date) or `retry-after-ms`. */
  readonly retryAfterMs: number | null;
  /** What the failed try had already cost, as far as the provider said. */
  readonly usage: ModelUsage;

  constructor(
    message: string,
    details: {
      code: ModelErrorCode;
      retryable: boolean;
      status: number | null;
      retryAfterMs: number | null;
      usage: ModelUsage;
      cause?: unknown;
    },
  ) {
    super(message, { cause: details.cause });
    this.code = details.code;
    this.retryable = details.retryable;
    this.status = details.status;
    this.retryAfterMs = details.retryAfterMs;
    this.usage = details.usage;
  }
}
