// The model port: one streamed call, its result and its failure. No SDK types here.

/** Token counts as the Messages API reports them. */
export interface ModelUsage {
  inputTokens: number;
  outputTokens: number;
  cacheCreationInputTokens: number;
  cacheReadInputTokens: number;
}

/** A content block in the Messages API's own shape (`text`, `thinking`, `tool_use`, ... and future types). */
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
  /** The name sent to the provider, with aliases resolved. */
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
  /** An abort ends the HTTP call. The promise rejects with the signal's reason. */
  signal: AbortSignal;
  /** Receives each piece of visible text in order. A piece is never empty and holds neither NUL nor half of a surrogate pair. */
  onText: (text: string) => void;
  /** Receives the usage so far whenever the provider reports a higher count. The usage of an aborted call is therefore known. */
  onUsage: (usage: ModelUsage) => void;
}

export interface ModelReply {
  blocks: ModelBlock[];
  stopReason: string | null;
  /** The model that answered, according to the provider. */
  model: string;
  usage: ModelUsage;
}

/** One streamed call to a model. Temporal retries, the model never does. */
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

/** A failed model call. With `retryable` false, the same request will fail again. */
export class ModelCallError extends Error {
  override readonly name = 'ModelCallError';
  readonly code: ModelErrorCode;
  readonly retryable: boolean;
  readonly status: number | null;
  /** From the provider's `retry-after` (seconds or date) or `retry-after-ms`. */
  readonly retryAfterMs: number | null;
  /** The usage of the failed attempt, as far as the provider reported it. */
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
