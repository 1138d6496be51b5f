// Sends a session's own events: in `seq` order and one at a time per endpoint, with all endpoints in parallel.
import type { DeliveryHead, DeliveryQueue } from '../stores/delivery-queue.ts';
import type { Attendance } from './attendance.ts';
import type { Sender } from './send.ts';

/** After this time an activity starts no further delivery. The remaining deliveries are requested again immediately. */
const TURN_MS = 60_000;
/** A receiver without a response after this time is slow or dead. */
const SLOW_MS = 1_000;
/**
 * Slow attempts to one endpoint, per process. At this number no session starts another attempt. A dead endpoint holds
 * each attempt for 15 s and must leave senders for other endpoints.
 */
const SLOW_TRIES_MAX = 40;
/** A postponed session retries after this time, as after a first failure. */
const CROWDED_MS = 5_000;

export interface SessionDeliveriesDeps {
  queue: DeliveryQueue;
  send: Sender;
  /** Signals the endpoint's own workflow that deliveries were handed over. */
  endpointDue: (webhookId: string) => Promise<void>;
  attendance: Pick<Attendance, 'during'>;
  now: () => number;
}

export interface Round {
  /** An earlier attempt or run has failed, died or ended. Only this sender waits for its remaining deliveries. */
  isLeft: boolean;
  signal: AbortSignal;
}

export interface RoundResult {
  /** When this session must send again. Null if no further pass is needed. */
  againAtMs: number | null;
  /** For readers of the Temporal UI. */
  why: string;
}

const NOTHING: RoundResult = { againAtMs: null, why: '' };

export type SessionDeliveries = ReturnType<typeof createSessionDeliveries>;

/** A delivery without attempts is due at any time, because the clocks of its writer and this sender may differ. */
const dueAt = ({ attempt_count, next_attempt_at, lease_until }: DeliveryHead): number =>
  Math.max(attempt_count === 0 ? 0 : (next_attempt_at ?? 0), lease_until ?? 0);

interface Try {
  since: number;
}

/** The attempts in flight to each endpoint. */
function createTries(now: () => number) {
  const tries = new Map<string, Set<Try>>();
  return {
    async during<T>(webhookId: string, work: () => Promise<T>): Promise<T> {
      const [own, others] = [{ since: now() }, tries.get(webhookId) ?? new Set<Try>()];
      tries.set(webhookId, others.add(own));
      try {
        return await work();
      } finally {
        others.delete(own);
        if (others.size === 0) tries.delete(webhookId);
      }
    },
    slow: (webhookId: string): number =>
      [...(tries.get(webhookId) ?? [])].filter(({ since }) => since <= now() - SLOW_MS).length,
  };
}

export function createSessionDeliveries({
  queue,
  send,
  endpointDue,
  attendance,
  now,
}: SessionDeliveriesDeps) {
  const tries = createTries(now);

  async function leaveToEndpoint(sessionId: string, webhookId: string): Promise<void> {
    await queue.handOver(sessionId, webhookId);
    await endpointDue(webhookId);
  }

  /** True until a probe succeeds, even after the pause, because only the endpoint's own workflow sends probes. */
  async function isLeftAlone(webhookId: string): Promise<boolean> {
    const webhook = await queue.webhook(webhookId);
    return (webhook?.open_until ?? null) !== null;
  }

  /**
   * Sends to one endpoint until no delivery is due or an attempt fails. @returns the failed endpoint, if this session
   * retries.
   */
  async function drain(
    sessionId: string,
    first: DeliveryHead,
    isOver: () => boolean,
  ): Promise<string | undefined> {
    const { webhook_id } = first;
    for (let head: DeliveryHead | undefined = first; head && dueAt(head) <= now() && !isOver(); ) {
      const { id } = head;
      const sent = await tries.during(webhook_id, () => send(id));
      if (sent.kind === 'elsewhere') return undefined;
      if (sent.kind === 'retry') {
        if (sent.owner === 'session') return webhook_id;
        await leaveToEndpoint(sessionId, webhook_id);
        return undefined;
      }
      head = await queue.headOf(sessionId, webhook_id);
    }
    return undefined;
  }

  /**
   * Sends to one endpoint, unless the endpoint is paused or has too many slow attempts. @returns the endpoint, if this
   * session retries.
   */
  async function sendTo(
    sessionId: string,
    head: DeliveryHead,
    isOver: () => boolean,
  ): Promise<string | undefined> {
    const { id, webhook_id } = head;
    if (await isLeftAlone(webhook_id)) {
      await leaveToEndpoint(sessionId, webhook_id);
      return undefined;
    }
    if (tries.slow(webhook_id) >= SLOW_TRIES_MAX) {
      await queue.postpone(id, now() + CROWDED_MS);
      return webhook_id;
    }
    return drain(sessionId, head, isOver);
  }

  const dueNow = async (sessionId: string): Promise<DeliveryHead[]> =>
    (await queue.heads(sessionId)).filter((head) => dueAt(head) <= now());

  /** Sends until no delivery is due. @param failed Receives the failed endpoints that this session retries. */
  async function sendAll(sessionId: string, isOver: () => boolean, failed: Set<string>): Promise<void> {
    for (let due = await dueNow(sessionId); due.length > 0 && !isOver(); due = await dueNow(sessionId)) {
      const outcomes = await Promise.all(due.map((head) => sendTo(sessionId, head, isOver)));
      for (const webhookId of outcomes) if (webhookId !== undefined) failed.add(webhookId);
    }
  }

  /** Sends all due deliveries, including those that become due in the meantime. */
  return async function deliverSession(sessionId: string, { isLeft, signal }: Round): Promise<RoundResult> {
    // Monotonic, because the system clock may be set back.
    const until = performance.now() + TURN_MS;
    const isOver = () => signal.aborted || performance.now() >= until;
    const failed = new Set<string>();
    const round = () => sendAll(sessionId, isOver, failed);
    const { isRefused } = await attendance.during(sessionId, { round, isOver, signal }, isLeft);
    if (failed.size === 0 && (isRefused || (!isLeft && !isOver()))) return NOTHING;
    const left = await queue.heads(sessionId);
    if (left.length === 0) return NOTHING;
    const why =
      failed.size > 0 ? `No success with ${[...failed].join(', ')}` : 'Something is still to be sent';
    return { againAtMs: Math.min(...left.map(dueAt)), why };
  };
}
