// Processes that send webhooks from a real store, with a clock and receivers of the test's own.
import type { Logger } from 'pino';
import type { PostAnswer, PostRequest } from '../../src/egress/post.ts';
import type { DeliveryQueue } from '../../src/stores/delivery-queue.ts';
import type { StoredAttempt } from '../../src/stores/schema.ts';
import { createAttendance } from '../../src/webhooks/attendance.ts';
import { createEndpointDeliveries } from '../../src/webhooks/endpoint-deliveries.ts';
import { createSender } from '../../src/webhooks/send.ts';
import { createSessionDeliveries } from '../../src/webhooks/session-deliveries.ts';
import type { TestStore } from '../support/store.ts';

export type Post = (request: PostRequest) => Promise<PostAnswer>;
export const answer = (statusCode: number, headers: PostAnswer['headers'] = {}): PostAnswer => ({
  statusCode,
  headers,
});
export const ids = (requests: PostRequest[]) => requests.map(({ headers }) => headers['webhook-id']);

interface SendersDeps {
  store: () => TestStore;
  now: () => number;
  logger: Logger;
}

export function createSenders({ store, now, logger }: SendersDeps) {
  let processes = 0;

  /** A process that sends. What it has sent is in `requests`, endpoints that it tells of something in `told`. */
  function processOf(post: Post, queue: DeliveryQueue = store().sending.queue) {
    processes += 1;
    const requests: PostRequest[] = [];
    const told: string[] = [];
    const { secrets } = store();
    const recorded: Post = (request) => {
      requests.push(request);
      return post(request);
    };
    const send = createSender({
      ...{ queue, poster: { post: recorded }, secrets, sender: `process-${processes}`, logger, now },
      random: () => 0.5,
    });
    const endpointDue = async (id: string) => {
      told.push(id);
    };
    const deliverSession = createSessionDeliveries({
      queue,
      send,
      endpointDue,
      attendance: createAttendance(0),
      now,
    });
    const deliverEndpoint = createEndpointDeliveries({ queue, send, now });
    const { signal } = new AbortController();
    return {
      ...{ requests, told, send },
      session: (id: string, isLeft = false) => deliverSession(id, { isLeft, signal }),
      endpoint: (id: string) => deliverEndpoint(id, signal),
    };
  }

  const status = async (webhook: string) =>
    (await store().deliveriesOf(webhook)).map((delivery) => delivery.status);
  const row = (id: string) => store().sending.queue.webhook(id);

  async function attemptsOf(webhook: string): Promise<StoredAttempt[][]> {
    const rows = await store()
      .db.selectFrom('deliveries')
      .selectAll()
      .where('webhook_id', '=', webhook)
      .orderBy('seq')
      .execute();
    return rows.map(({ attempts }) => JSON.parse(attempts));
  }

  /** A webhook, and a session with so many events for it. */
  async function due(events = 1, url = 'https://example.com/hook') {
    const { createWebhook, createSession, sessions, caller } = store();
    const { id: webhook } = await createWebhook({ url });
    const session = await createSession();
    // No messages: a hundred of them may wait in a session, and nobody works on it.
    for (let n = 1; n < events; n += 1)
      await sessions.update(caller, session, { metadata: { n: String(n) } });
    return { webhook, session };
  }

  return { processOf, status, row, attemptsOf, due };
}
