// Failures of our own code as shown to Temporal and clients: a code and the activity id. The inner text goes only to
// the log, because it may contain SQL or contents of any length.
import { ApplicationFailure, Context, log } from '@temporalio/activity';
import { TemporalFailure } from '@temporalio/common';
import { isStoreAway } from '../src/stores/store.ts';

/** Names the activity, so that the operator finds the log line. */
const reference = (): string => {
  const { activityId, workflowExecution } = Context.current().info;
  return `activity ${activityId} of ${workflowExecution?.workflowId ?? 'no workflow'}`;
};

/** The client's text in place of an inner error. The error is logged under the same reference. */
export function plainWords(error: unknown): string {
  const where = reference();
  if (isStoreAway(error)) return `The store is away (${where})`;
  log.error('An activity failed inside the server', { error });
  return `The server failed here and logged the reason (${where})`;
}

/** @param message From `plainWords`. */
export const internalFailure = (
  error: unknown,
  { message = plainWords(error), nonRetryable = false } = {},
): ApplicationFailure =>
  ApplicationFailure.create({
    type: isStoreAway(error) ? 'unavailable' : 'internal_error',
    message,
    nonRetryable,
  });

/** Wraps an activity: its own failures keep their text, and inner errors get a plain text. */
export const withPlainFailure =
  <Input, Output>(activity: (input: Input) => Promise<Output>) =>
  async (input: Input): Promise<Output> => {
    try {
      return await activity(input);
    } catch (error) {
      const isKnown = error instanceof TemporalFailure || Context.current().cancellationSignal.aborted;
      throw isKnown ? error : internalFailure(error);
    }
  };
