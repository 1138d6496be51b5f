// Sends webhooks: the due deliveries of a session, and the backlog of an endpoint.
import { ApplicationFailure, Context } from '@temporalio/activity';
import type { EndpointDeliveries } from '../src/webhooks/endpoint-deliveries.ts';
import type { SessionDeliveries } from '../src/webhooks/session-deliveries.ts';
import type { BacklogResult, DeliverInput, EndpointInput } from '../workflows/protocol.ts';

/** Far below the 5 s heartbeat timeout. */
const HEARTBEAT_INTERVAL_MS = 1_000;

export interface DeliverDeps {
  deliverSession: SessionDeliveries;
  deliverEndpoint: EndpointDeliveries;
  now: () => number;
}

/** @param work Receives the cancellation signal, and whether an earlier attempt has failed or died. */
async function alive<T>(
  work: (attempt: { isRetry: boolean; signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  // The context is captured first because a timer callback has none.
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(), HEARTBEAT_INTERVAL_MS);
  try {
    return await work({ isRetry: context.info.attempt > 1, signal: context.cancellationSignal });
  } finally {
    clearInterval(timer);
  }
}

export const createDeliverActivities = ({ deliverSession, deliverEndpoint, now }: DeliverDeps) => ({
  /** @throws a failure with the next retry delay, while a delivery is to be retried soon. */
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
