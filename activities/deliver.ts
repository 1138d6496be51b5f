// Sends webhooks: what is due of a session, and what is left to an endpoint.
import { ApplicationFailure, Context } from '@temporalio/activity';
import type { EndpointDeliveries } from '../src/webhooks/endpoint-deliveries.ts';
import type { SessionDeliveries } from '../src/webhooks/session-deliveries.ts';
import type { BacklogResult, DeliverInput, EndpointInput } from '../workflows/protocol.ts';

/** Far below the 5 s after which Temporal gives an attempt up. */
const HEARTBEAT_INTERVAL_MS = 1_000;

export interface DeliverDeps {
  deliverSession: SessionDeliveries;
  deliverEndpoint: EndpointDeliveries;
  now: () => number;
}

/** @param work Told when to stop, and whether an attempt before this one has failed or died. */
async function alive<T>(
  work: (attempt: { isRetry: boolean; signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  // The context is captured first: a timer has none of its own.
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(), HEARTBEAT_INTERVAL_MS);
  try {
    return await work({ isRetry: context.info.attempt > 1, signal: context.cancellationSignal });
  } finally {
    clearInterval(timer);
  }
}

export const createDeliverActivities = ({ deliverSession, deliverEndpoint, now }: DeliverDeps) => ({
  /** @throws a failure that names its next try, while something is to be tried again soon. */
  deliver: ({ sessionId, isLeft }: DeliverInput): Promise<void> =>
    alive(async ({ isRetry, signal }) => {
      const { againAtMs, why } = await deliverSession(sessionId, {
        isLeft: isLeft === true || isRetry,
        signal,
      });
      if (againAtMs === null) return;
      throw ApplicationFailure.create({
        type: 'webhook_failed',
        message: why,
        nextRetryDelay: Math.max(againAtMs - now(), 1),
      });
    }),

  deliverBacklog: ({ webhookId }: EndpointInput): Promise<BacklogResult> =>
    alive(async ({ signal }) => ({ nextAtMs: await deliverEndpoint(webhookId, signal) })),
});
