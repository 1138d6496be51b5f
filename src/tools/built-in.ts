// The interface of tools that this server runs itself.

export interface BuiltInResult {
  /** Any JSON value. The model reads the value. */
  result: unknown;
  isError: boolean;
}

export interface BuiltInTool {
  name: string;
  /** For the model. */
  description: string;
  /** JSON Schema of the input. Other inputs are refused before `run`. */
  inputSchema: Record<string, unknown>;
  /**
   * Must be safe to repeat, because a call is retried after its process has died. A mistake of the model is a result with
   * `isError`.
   * @throws if the tool itself fails (a retry may help), or the signal's reason when aborted.
   */
  run(input: Record<string, unknown>, options: { signal: AbortSignal }): Promise<BuiltInResult>;
  /** Ends the tool's processes. */
  close(): Promise<void>;
}
