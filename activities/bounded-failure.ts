// Keeps what an activity throws small enough to be told: Temporal takes 4 MB in one call, and a failure that it can't be
// told is an attempt that ends by its heartbeat time-out, again and again.

/** Enough for people; Temporal itself keeps 4 KB of a failure. */
const MESSAGE_LENGTH_MAX = 2_000;
const STACK_LENGTH_MAX = 4_000;
/** Errors wrap each other a handful of layers deep; what is deeper is cut off. */
const CAUSES_MAX = 5;

/** Cut in place: Temporal reads an error's type, its delay and its cause from the very object. */
function cut(error: unknown, layer = 1): unknown {
  if (!(error instanceof Error)) return String(error).slice(0, MESSAGE_LENGTH_MAX);
  if (error.message.length > MESSAGE_LENGTH_MAX) error.message = error.message.slice(0, MESSAGE_LENGTH_MAX);
  if (error.stack && error.stack.length > STACK_LENGTH_MAX)
    error.stack = error.stack.slice(0, STACK_LENGTH_MAX);
  if (error.cause instanceof Error && layer < CAUSES_MAX) cut(error.cause, layer + 1);
  else if (error.cause !== undefined) error.cause = undefined;
  return error;
}

/** The activity, with failures of a bounded size. */
export const withBoundedFailure =
  <Input, Output>(activity: (input: Input) => Promise<Output>) =>
  async (input: Input): Promise<Output> => {
    try {
      return await activity(input);
    } catch (error) {
      throw cut(error);
    }
  };
