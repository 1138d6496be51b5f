// Wires webhook sending: the HTTP client for user-supplied addresses, the queue, and the senders.
import type { Logger } from 'pino';
import { createAllowList } from '../egress/allow-list.ts';
import { createPoster } from '../egress/post.ts';
import { randomText } from '../ids.ts';
import { createDeliveryQueue, hasPendingDeliveries } from '../stores/delivery-queue.ts';
import type { Store } from '../stores/store.ts';
import { createAttendance } from '../webhooks/attendance.ts';
import { createEndpointDeliveries } from '../webhooks/endpoint-deliveries.ts';
import { createSecretBox } from '../webhooks/secrets.ts';
import { createSender } from '../webhooks/send.ts';
import { createSessionDeliveries } from '../webhooks/session-deliveries.ts';
import type { CoreOptions } from './options.ts';

export interface WebhookSendingDeps
  extends Pick<CoreOptions, 'secretKey' | 'webhookTargets' | 'webhookPortsDenied' | 'resolveName'> {
  store: Store;
  logger: Logger;
  endpointDue: (webhookId: string) => Promise<void>;
  now: () => number;
}

export function createWebhookSending(deps: WebhookSendingDeps) {
  const { store, logger, secretKey, endpointDue, now } = deps;
  const allowed = createAllowList(deps.webhookTargets, deps.webhookPortsDenied);
  const poster = createPoster({ allowed, resolve: deps.resolveName });
  const queue = createDeliveryQueue({ store, now });
  const secrets = createSecretBox(secretKey);
  // Names this process in the leases of its deliveries. Each process has a new name.
  const sender = `sender-${randomText(12)}`;
  const send = createSender({ queue, poster, secrets, sender, logger, now });
  const attendance = createAttendance();
  const sending = { queue, send, endpointDue, attendance, now };
  return {
    ...{ queue, secrets, sender, send },
    /** Notifies the session's resident sender instead of its workflow. @returns false without a resident sender. */
    ring: attendance.ring,
    hasPendingDeliveries: (sessionId: string) => hasPendingDeliveries(store.db, sessionId),
    /** Checks that a webhook may have this URL. @throws EgressRefused */
    checkTarget: poster.check,
    deliverSession: createSessionDeliveries(sending),
    deliverEndpoint: createEndpointDeliveries(sending),
    close: poster.close,
  };
}
