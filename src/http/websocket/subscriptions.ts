// The sessions that a WebSocket follows, each from its own cursor.
import { ApiError } from '../../contracts/errors.ts';
import type { SessionEvent } from '../../contracts/events.ts';
import type { Caller, EventsService } from '../../services/ports.ts';

/** Limit for a connection, because each subscription is a reader of the log. */
export const SUBSCRIPTIONS_MAX = 100;

/** The state before the first event is read. Nothing is held until then. */
export interface Followed {
  sessionId: string;
  tailSeq: number;
  events: AsyncIterable<SessionEvent>;
  controller: AbortController;
}

/** @throws ApiError `not_found`, `invalid_request` */
export async function followSession(
  events: EventsService,
  caller: Caller,
  sessionId: string,
  after: number | null,
): Promise<Followed> {
  const controller = new AbortController();
  const from = { after, types: null, messageId: null };
  return { sessionId, controller, ...(await events.follow(caller, sessionId, from, controller.signal)) };
}

/** The last event of a session, so no reader needs to wait for more. */
const isDeletion = ({ type, data }: SessionEvent): boolean =>
  type === 'session.ended' && data.reason === 'deleted';

interface SubscriptionsDeps {
  /** Aborts with the connection. */
  signal: AbortSignal;
  /** Resolves when the next event may be sent. */
  deliver(event: SessionEvent): Promise<void>;
  /** The session was deleted, and all its events were delivered. */
  deleted(sessionId: string): void;
  failed(error: unknown): void;
}

export type Subscriptions = ReturnType<typeof createSubscriptions>;

export function createSubscriptions({ signal, deliver, deleted, failed }: SubscriptionsDeps) {
  const open = new Map<string, { controller: AbortController; done: Promise<void> }>();
  signal.addEventListener('abort', () => {
    for (const { controller } of open.values()) controller.abort();
  });

  async function deliverAll({ sessionId, events, controller }: Followed): Promise<void> {
    try {
      for await (const event of events) {
        await deliver(event);
        if (isDeletion(event)) break;
      }
      if (controller.signal.aborted) return;
      open.delete(sessionId);
      deleted(sessionId);
    } catch (error) {
      if (!controller.signal.aborted) failed(error);
    }
  }

  return {
    /** @throws ApiError `invalid_request` if the connection can't follow another session or already follows this session. */
    requireRoomFor(sessionId: string): void {
      const refuse = (message: string) => new ApiError('invalid_request', message, { param: 'session_id' });
      if (open.has(sessionId))
        throw refuse(`This connection follows ${sessionId} already; unsubscribe first to change its cursor`);
      if (open.size >= SUBSCRIPTIONS_MAX)
        throw refuse(`A connection follows ${SUBSCRIPTIONS_MAX} sessions at most`);
    },
    begin(followed: Followed): void {
      if (signal.aborted) return;
      const { sessionId, controller } = followed;
      open.set(sessionId, { controller, done: deliverAll(followed) });
    },
    /** Resolves when no more events of the session will come, or at once if the session isn't followed. */
    async end(sessionId: string): Promise<void> {
      const subscription = open.get(sessionId);
      if (!subscription) return;
      open.delete(sessionId);
      subscription.controller.abort();
      await subscription.done;
    },
  };
}
