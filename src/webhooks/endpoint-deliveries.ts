// What an endpoint is sent that it could not be sent at once: page by page, a few at a time, and nothing while it is left alone.
import type { DeliveryQueue } from '../stores/delivery-queue.ts';
import type { Sender } from './send.ts';

/** Sends of one endpoint's backlog under way at once: enough to catch up, few enough not to press it down again. */
const IN_FLIGHT_MAX = 4;
const PAGE = 100;
/** An activity that sends longer than this begins no other delivery; the workflow goes on with the next one. */
const TURN_MS = 60_000;

export interface EndpointDeliveriesDeps {
  queue: DeliveryQueue;
  send: Sender;
  now: () => number;
}

export type EndpointDeliveries = ReturnType<typeof createEndpointDeliveries>;

export function createEndpointDeliveries({ queue, send, now }: EndpointDeliveriesDeps) {
  /** @returns until when the endpoint is to be left alone; `isProbe` when that is over, and one try is to find out. */
  async function stateOf(webhookId: string) {
    const webhook = await queue.webhook(webhookId);
    if (!webhook || webhook.status === 'disabled') return undefined;
    const openUntil = webhook.open_until ?? 0;
    return { openUntil, isProbe: openUntil > 0 };
  }

  /** Sends one. @returns whether the endpoint is to be left alone now. */
  async function isTooMuch(webhookId: string, id: string): Promise<boolean> {
    const sent = await send(id);
    if (sent.kind === 'delivered' || sent.kind === 'elsewhere') return false;
    const state = await stateOf(webhookId);
    return !state || state.openUntil > now();
  }

  /** Sends these, some at a time, until the endpoint is to be left alone. */
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

  /** Sends what is due. @returns when to look again; null when nothing is left. */
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
