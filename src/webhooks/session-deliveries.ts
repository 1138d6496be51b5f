// What a session sends of its own events: in `seq` order to each endpoint, one at a time, all endpoints beside each other.
import type { DeliveryHead, DeliveryQueue } from '../stores/delivery-queue.ts';
import type { Attendance } from './attendance.ts';
import type { Sender } from './send.ts';

/** An activity that sends longer than this begins no other delivery; what is left is asked for again at once. */
const TURN_MS = 60_000;
/** A receiver that has not answered by then is slow, or dead. */
const SLOW_MS = 1_000;
/**
 * Tries of one endpoint that are as slow, in this process: no session begins another one beside them. An endpoint that has just
 * died holds each for 15 s, and must leave the others their senders.
 */
const SLOW_TRIES_MAX = 40;
/** A session that has to wait for them asks again after this, as after a first failure. */
const CROWDED_MS = 5_000;

export interface SessionDeliveriesDeps {
  queue: DeliveryQueue;
  send: Sender;
  /** Tells the endpoint's own workflow that it has been left something. */
  endpointDue: (webhookId: string) => Promise<void>;
  attendance: Pick<Attendance, 'during'>;
  now: () => number;
}

export interface Round {
  /** An attempt or a run before this one has failed, died or ended, and nobody but this one waits for what it has left. */
  isLeft: boolean;
  signal: AbortSignal;
}

export interface RoundResult {
  /** When this session has something to send again; null when nobody need ask. */
  againAtMs: number | null;
  /** For the people who read the Temporal UI. */
  why: string;
}

const NOTHING: RoundResult = { againAtMs: null, why: '' };

export type SessionDeliveries = ReturnType<typeof createSessionDeliveries>;

/** What was never tried is due whatever the time: its writer's clock may be ahead of this sender's, or have been set back. */
const dueAt = ({ attempt_count, next_attempt_at, lease_until }: DeliveryHead): number =>
  Math.max(attempt_count === 0 ? 0 : (next_attempt_at ?? 0), lease_until ?? 0);

interface Try {
  since: number;
}

/** What is under way to each endpoint. */
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

  /** Until a probe has found it back, also when its pause is over: the probe is the endpoint's own. */
  async function isLeftAlone(webhookId: string): Promise<boolean> {
    const webhook = await queue.webhook(webhookId);
    return (webhook?.open_until ?? null) !== null;
  }

  /** Sends to one endpoint until nothing is due, or something fails. @returns what has failed, if it is tried again here. */
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

  /** Sends to one endpoint, unless it is left alone or keeps too many waiting. @returns what is tried again here. */
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

  /** Sends until nothing is due. @param failed Takes the endpoints that have failed, and are tried again here. */
  async function sendAll(sessionId: string, isOver: () => boolean, failed: Set<string>): Promise<void> {
    for (let due = await dueNow(sessionId); due.length > 0 && !isOver(); due = await dueNow(sessionId)) {
      const outcomes = await Promise.all(due.map((head) => sendTo(sessionId, head, isOver)));
      for (const webhookId of outcomes) if (webhookId !== undefined) failed.add(webhookId);
    }
  }

  /** Sends all that is due, also what becomes so meanwhile. */
  return async function deliverSession(sessionId: string, { isLeft, signal }: Round): Promise<RoundResult> {
    // Not by the clock, which may be set back.
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
