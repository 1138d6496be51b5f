// Bounds the size of activity failures. Temporal accepts 4 MB per call. It can't record a larger failure, so such
// attempts end by heartbeat timeout, again and again.

/** Enough for people. Temporal itself keeps 4 KB of a failure. */
const MESSAGE_LENGTH_MAX = 2_000;
const STACK_LENGTH_MAX = 4_000;
/** Errors wrap each other a few layers deep. Deeper causes are dropped. */
const CAUSES_MAX = 5;

/** Cut in place: Temporal reads an error's type, retry delay and cause from the same object. */
function cut(error: unknown, layer = 1): unknown {
  if (!(error instanceof Error)) return String(error).slice(0, MESSAGE_LENGTH_MAX);
  if (error.message.length > MESSAGE_LENGTH_MAX) error.message = error.message.slice(0, MESSAGE_LENGTH_MAX);
  if (error.stack && error.stack.length > STACK_LENGTH_MAX)
    error.stack = error.stack.slice(0, STACK_LENGTH_MAX);
  if (error.cause instanceof Error && layer < CAUSES_MAX) cut(error.cause, layer + 1);
  else if (error.cause !== undefined) error.cause = undefined;
  return error;
}

/** Wraps an activity so that its failures have a bounded size. */
export const withBoundedFailure =
  <Input, Output>(activity: (input: Input) => Promise<Output>) =>
  async (input: Input): Promise<Output> => {
    try {
      return await activity(input);
    } catch (error) {
      throw cut(error);
    }
  };
