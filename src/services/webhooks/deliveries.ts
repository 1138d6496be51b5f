// Deliveries: sent and pending events of a webhook, with their attempts.
import { setTimeout as pause } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { ApiError, notFound } from '../../contracts/errors.ts';
import { WEBHOOK_EVENTS, type WebhookEventType } from '../../contracts/events.ts';
import { timeMs } from '../../contracts/time.ts';
import type { Delivery, ReplayDeliveries, Replayed, TestWebhook } from '../../contracts/webhooks.ts';
import type { DeliveryRow, Tables, WebhookRow } from '../../stores/schema.ts';
import type { Requeued, WebhooksStore } from '../../stores/webhooks.ts';
import { deliveryView } from '../../views/webhooks.ts';
import type { Sender } from '../../webhooks/send.ts';
import type { Keep, Once, Resource } from '../idempotency.ts';
import type { Outbox } from '../outbox.ts';
import type { Caller, DeliveriesService, Position } from '../ports.ts';
import { byCreation, fittingSlice } from '../slices.ts';
import { ownedBy, visibleWebhook } from './access.ts';
import { TEST_MS_MAX, testDelivery } from './test-event.ts';

/** Deliveries per replay, so that its transactions stay short. */
const REPLAYED_MAX = 10_000;

/** Poll interval of a repeated test request, while another process may be sending the test. */
const LOOK_EVERY_MS = 200;

export interface DeliveriesDeps {
  webhooks: WebhooksStore;
  db: Kysely<Tables>;
  send: Sender;
  outbox: Pick<Outbox, 'notifyEndpoint'>;
  once: Once;
  now: () => number;
}

/** Deliveries of one commit have the same creation time. */
const positionOf = ({ created_at, seq, id }: DeliveryRow): Position => [created_at, seq ?? 0, id];
const TIES = 1;

const disabled = () =>
  new ApiError('invalid_request', "The webhook is disabled: set its 'status' to 'enabled' first");

function refuseUnqueued(outcome: Requeued): void {
  if (outcome === 'queued') return;
  if (outcome === 'disabled') throw disabled();
  if (outcome === 'no_webhook') throw notFound('webhook');
  if (outcome === 'unknown') throw notFound('delivery');
  throw new ApiError('not_found', 'The session of this delivery was deleted, and its body with it');
}

function rangeOf({ from, to }: ReplayDeliveries) {
  const [fromMs, toMs] = [timeMs(from), timeMs(to)];
  if (fromMs < toMs) return { fromMs, toMs };
  throw new ApiError('invalid_request', "The 'to' field must be later than 'from'", { param: 'to' });
}

const tooMany = () =>
  new ApiError(
    'invalid_request',
    `The range has more than ${REPLAYED_MAX} deliveries: replay it in several parts`,
    { param: 'to' },
  );

/** The requested type, or else the first event type of the webhook. */
function testedType({ events }: WebhookRow, { type }: TestWebhook): WebhookEventType {
  if (type != null) return type;
  const names: string[] = JSON.parse(events);
  return WEBHOOK_EVENTS.find((name) => name === names[0]) ?? 'message.completed';
}

/** Waits until another request has sent the test. The delivery is still pending if its sender died. */
async function untilTried(show: () => Promise<Delivery>): Promise<Delivery> {
  for (let waitedMs = 0; ; waitedMs += LOOK_EVERY_MS) {
    const delivery = await show();
    if (delivery.status !== 'pending' || waitedMs >= TEST_MS_MAX) return delivery;
    await pause(LOOK_EVERY_MS);
  }
}

export function createDeliveries(deps: DeliveriesDeps): DeliveriesService {
  const { webhooks, db, send, outbox, once, now } = deps;

  async function show(caller: Caller, id: string): Promise<Delivery> {
    const row = await webhooks.getDelivery(ownedBy(caller, id));
    if (!row) throw notFound('delivery');
    return deliveryView(row);
  }

  async function redeliver(caller: Caller, id: string, keep: Keep): Promise<Delivery> {
    const owned = { ...ownedBy(caller, id), now: now() };
    refuseUnqueued(await webhooks.requeue(owned, (rows) => keep(rows)));
    const delivery = await show(caller, id);
    outbox.notifyEndpoint(delivery.webhook_id);
    return delivery;
  }

  async function test(caller: Caller, id: string, body: TestWebhook, keep: Keep<Resource>) {
    const webhook = await visibleWebhook(webhooks, caller, id);
    const delivery = testDelivery(webhook, testedType(webhook, body), now());
    await webhooks.insertDelivery(delivery, (rows) => keep(rows, { id: delivery.id }));
    await send(delivery.id);
    return show(caller, delivery.id);
  }

  async function replay(
    caller: Caller,
    webhookId: string,
    body: ReplayDeliveries,
    keep: Keep<Replayed>,
  ): Promise<Replayed> {
    const range = rangeOf(body);
    const webhook = await visibleWebhook(webhooks, caller, webhookId);
    if (webhook.status === 'disabled') throw disabled();
    const count = await webhooks.replay(webhook, { ...range, max: REPLAYED_MAX, now: now() });
    if (count === null) throw tooMany();
    // If this process dies before the key is stored, a retry sends again: at least once, with the same ids.
    await db.transaction().execute((rows) => keep(rows, { count }));
    if (count > 0) outbox.notifyEndpoint(webhookId);
    return { count };
  }

  return {
    async list(caller, webhookId, filter, page) {
      await visibleWebhook(webhooks, caller, webhookId);
      const rows = await webhooks.listDeliveries({ webhookId, ...filter, ...byCreation(page, TIES) });
      return fittingSlice(rows, page.limit, { positionOf, view: deliveryView });
    },

    get: show,

    test: (caller, webhookId, body, idempotency) =>
      once(
        caller,
        idempotency,
        (keep: Keep<Resource>) => test(caller, webhookId, body, keep),
        ({ id: tested }) => untilTried(() => show(caller, tested)),
      ),

    redeliver: (caller, id, idempotency) =>
      once(
        caller,
        idempotency,
        (keep) => redeliver(caller, id, keep),
        () => show(caller, id),
      ),

    replay: (caller, webhookId, body, idempotency) =>
      once<Replayed, Replayed>(
        caller,
        idempotency,
        (keep) => replay(caller, webhookId, body, keep),
        async (replayed) => replayed,
      ),
  };
}
