// Failures of our own code as Temporal and clients see them: a code and the activity's id. The inner text may hold SQL or
// contents of any length, so it goes to the log alone.
import { ApplicationFailure, Context, log } from '@temporalio/activity';
import { TemporalFailure } from '@temporalio/common';
import { isStoreAway } from '../src/stores/store.ts';

/** Names the activity, so that the operator finds the line of the log. */
const reference = (): string => {
  const { activityId, workflowExecution } = Context.current().info;
  return `activity ${activityId} of ${workflowExecution?.workflowId ?? 'no workflow'}`;
};

/** Words for clients in place of an inner error, which is logged under the same reference. */
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

/** The activity, whose own failures keep their words and whose inner errors get plain ones. */
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
