// Every timeout and retry of the session workflow, each with its reason.
import {
  ActivityCancellationType,
  type ActivityOptions,
  type LocalActivityOptions,
} from '@temporalio/workflow';

/** One call of Claude, streamed into the store. */
export const MODEL_STEP: ActivityOptions = {
  // The longest answer that anyone waits for; a hung stream is ended by its own silence timeout much earlier.
  startToCloseTimeout: '60 minutes',
  // All tries together: a provider that is away for a day has failed the turn.
  scheduleToCloseTimeout: '24 hours',
  // A killed worker is noticed within this; heartbeats come each 2 s, so ten may be lost.
  heartbeatTimeout: '20 seconds',
  // The interrupt itself is done by the fence; nobody waits for the model call to notice.
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  retry: {
    initialInterval: '1 second',
    backoffCoefficient: 2,
    maximumInterval: '30 seconds',
    // No bound on attempts: worker deaths are not counted, and the store counts the model's errors itself.
  },
};

/** One try of a built-in tool. It may be made again: none of these tools changes anything outside. */
export const TOOL_CALL: ActivityOptions = {
  // Twice the longest wait for a free evaluator that a full worker makes.
  startToCloseTimeout: '60 seconds',
  // With no worker for tools the model is told so, instead of a turn that hangs.
  scheduleToCloseTimeout: '10 minutes',
  // A killed worker is noticed within this; heartbeats come each second.
  heartbeatTimeout: '5 seconds',
  // The interrupt itself is done in the store; nobody waits for the tool to notice.
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  retry: {
    initialInterval: '500 milliseconds',
    backoffCoefficient: 2,
    maximumInterval: '5 seconds',
    maximumAttempts: 5,
  },
};

/** Sends what webhooks are due of one session, or of one endpoint's backlog. */
export const DELIVERIES: ActivityOptions = {
  // The sender itself stops after a minute, behind a try that may take 15 s.
  startToCloseTimeout: '2 minutes',
  // With no worker for webhooks the sweep asks again.
  scheduleToCloseTimeout: '10 minutes',
  // A killed worker is noticed within this; heartbeats come each second.
  heartbeatTimeout: '5 seconds',
  retry: {
    // What is tried again says itself when; this is for a store that is away.
    initialInterval: '1 second',
    backoffCoefficient: 2,
    maximumInterval: '10 seconds',
  },
};

/** Short transactions of the store, run where the workflow task runs so that hung streams can't starve them. */
export const STORE_STEP: LocalActivityOptions = {
  // One transaction takes milliseconds; this bounds a store that hangs.
  startToCloseTimeout: '10 seconds',
  // The store may be away for long; the session waits for it and loses nothing.
  retry: { initialInterval: '100 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
  // Longer waits leave the workflow task and use a timer, so that signals and queries are served meanwhile.
  localRetryThreshold: '1 second',
};
