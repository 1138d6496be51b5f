// Every timeout and retry of the session workflow, each with its reason.
import {
  ActivityCancellationType,
  type ActivityOptions,
  type LocalActivityOptions,
} from '@temporalio/workflow';

/** One streamed model call. */
export const MODEL_STEP: ActivityOptions = {
  // The longest reply we allow. The model's silence timeout ends a hung stream much earlier.
  startToCloseTimeout: '60 minutes',
  // All attempts together. A provider outage of a day fails the turn.
  scheduleToCloseTimeout: '24 hours',
  // Detects a killed worker. Heartbeats come every 2 s, so up to ten may be lost.
  heartbeatTimeout: '20 seconds',
  // The fence in the store performs the interrupt, so the workflow doesn't wait for the model call to stop.
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  retry: {
    initialInterval: '1 second',
    backoffCoefficient: 2,
    maximumInterval: '30 seconds',
    // Attempts are unbounded: worker deaths don't count as failures, and the store counts model errors.
  },
};

/** One attempt of a built-in tool. Retries are safe because these tools have no external side effects. */
export const TOOL_CALL: ActivityOptions = {
  // Twice the longest time a full worker waits for a free evaluator.
  startToCloseTimeout: '60 seconds',
  // Without a worker for tools the model receives an error result, so the turn doesn't hang.
  scheduleToCloseTimeout: '10 minutes',
  // Detects a killed worker. Heartbeats come every second.
  heartbeatTimeout: '5 seconds',
  // The store performs the interrupt, so the workflow doesn't wait for the tool to stop.
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  retry: {
    initialInterval: '500 milliseconds',
    backoffCoefficient: 2,
    maximumInterval: '5 seconds',
    maximumAttempts: 5,
  },
};

/** Sends the due deliveries of one session, or of one endpoint's backlog. */
export const DELIVERIES: ActivityOptions = {
  // A sender stops after one minute, but the attempt in flight may take 15 s more.
  startToCloseTimeout: '2 minutes',
  // Without a worker for webhooks, the reconciler signals again.
  scheduleToCloseTimeout: '10 minutes',
  // Detects a killed worker. Heartbeats come every second.
  heartbeatTimeout: '5 seconds',
  retry: {
    // A failed delivery sets its own retry delay. These values serve an unavailable store.
    initialInterval: '1 second',
    backoffCoefficient: 2,
    maximumInterval: '10 seconds',
  },
};

/** Short store transactions. They run as local activities so that hung streams can't starve them. */
export const STORE_STEP: LocalActivityOptions = {
  // A transaction takes milliseconds. This limit covers a hung store.
  startToCloseTimeout: '10 seconds',
  // Unlimited attempts: during a long store outage the session waits and loses nothing.
  retry: { initialInterval: '100 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
  // Longer delays use a timer outside the workflow task, so signals and queries are still served.
  localRetryThreshold: '1 second',
};
