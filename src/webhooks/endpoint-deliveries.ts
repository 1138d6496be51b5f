// Sends an endpoint's backlog page by page, a few deliveries at a time. Sends nothing while the endpoint is paused.
import type { DeliveryQueue } from '../stores/delivery-queue.ts';
import type { Sender } from './send.ts';

/** Deliveries in flight per endpoint: enough to catch up, few enough not to overload a recovering endpoint. */
const IN_FLIGHT_MAX = 4;
const PAGE = 100;
/** After this time an activity starts no further delivery. The workflow continues with the next activity. */
const TURN_MS = 60_000;

export interface EndpointDeliveriesDeps {
  queue: DeliveryQueue;
  send: Sender;
  now: () => number;
}

export type EndpointDeliveries = ReturnType<typeof createEndpointDeliveries>;

export function createEndpointDeliveries({ queue, send, now }: EndpointDeliveriesDeps) {
  /**
   * @returns when the pause ends. With `isProbe`, a single attempt tests the endpoint after the pause. Undefined for a
   * deleted or disabled endpoint.
   */
  async function stateOf(webhookId: string) {
    const webhook = await queue.webhook(webhookId);
    if (!webhook || webhook.status === 'disabled') return undefined;
    const openUntil = webhook.open_until ?? 0;
    return { openUntil, isProbe: openUntil > 0 };
  }

  /** Sends one delivery. @returns true if the endpoint must be paused now. */
  async function isTooMuch(webhookId: string, id: string): Promise<boolean> {
    const sent = await send(id);
    if (sent.kind === 'delivered' || sent.kind === 'elsewhere') return false;
    const state = await stateOf(webhookId);
    return !state || state.openUntil > now();
  }

  /** Sends the deliveries, a few at a time, until the endpoint must be paused. */
  async function sendAll(webhookId: string, ids: string[], isOver: () => boolean): Promise<void> {
    const rest = ids.values();
    let isStopped = false;
    const sendOn = async (): Promise<void> => {
      for (const id of rest) {
        if (isStopped || isOver()) return;
        isStopped = (await isTooMuch(webhookId, id)) || isStopped;
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT_MAX }, sendOn));
  }

  /** Sends the due deliveries. @returns the time of the next check, or null when the backlog is empty. */
  return async function deliverEndpoint(webhookId: string, signal: AbortSignal): Promise<number | null> {
    const until = now() + TURN_MS;
    const isOver = () => signal.aborted || now() >= until;
    for (;;) {
      const state = await stateOf(webhookId);
      if (!state) {
        await queue.cancelAll(webhookId);
        return null;
      }
      const nextAt = await queue.nextDueOf(webhookId);
      if (nextAt === null) return null;
      const at = Math.max(nextAt, state.openUntil);
      if (at > now() || isOver()) return at;
      await sendAll(webhookId, await queue.dueOf(webhookId, state.isProbe ? 1 : PAGE), isOver);
    }
  };
}
