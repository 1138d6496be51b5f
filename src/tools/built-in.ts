// What every tool is that this server runs itself.

export interface BuiltInResult {
  /** Any JSON value; the model reads it. */
  result: unknown;
  isError: boolean;
}

export interface BuiltInTool {
  name: string;
  /** For the model. */
  description: string;
  /** JSON Schema of the input; what does not fit it is refused before `run`. */
  inputSchema: Record<string, unknown>;
  /**
   * A call that may be made again when its process has died. What the model did wrong is a result with `isError`.
   * @throws when the tool itself is out of order (another try may help), or the signal's reason when aborted.
   */
  run(input: Record<string, unknown>, options: { signal: AbortSignal }): Promise<BuiltInResult>;
  /** Ends what it has running. */
  close(): Promise<void>;
}
