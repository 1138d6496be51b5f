// A live channel for a store shared with other processes, which announce their commits over Redis. Without Redis, a query polls
// all followed sessions and the channel notifies followers of changes. So the first event arrives within a few hundredths of a
// second, instead of at a follower's own next poll.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Change, LiveChannel } from './live-channel.ts';

/**
 * The longest delay before a follower hears of another process's commit. A poll costs PostgreSQL one index lookup per session.
 */
const INTERVAL_MS = 50;
/** By then the other processes have polled and read, even if they or the store are busy. */
const TOLD_AFTER_INTERVALS = 10;
/** Poll interval while hints arrive. Some hints may be lost, for example if only the sender has lost its Redis connection. */
const SAFETY_INTERVAL_MS = 1_000;
/** Bounds the parameters of one query. */
const SESSIONS_PER_QUESTION = 500;
/** Pause while the store is unavailable. Followers also poll by themselves. */
const BACKOFF_MS = 1_000;

/** Announcements of other processes' commits. Some may be lost, so followers also poll by themselves. */
export interface Hints {
  /** While true, polls are rare. */
  isLive(): boolean;
  publish(change: Change): void;
  /**
   * @param heard Gets each commit. Null means that all commits arrive from now on, possibly after a gap.
   * @returns a function that ends the hints.
   */
  follow(sessionId: string, heard: (change: Change | null) => void): () => void;
}

export interface PolledChannelDeps {
  /** This process's own channel, which is faster for its own commits. */
  channel: LiveChannel;
  seqsOf(sessionIds: string[]): Promise<{ id: string; seq: number }[]>;
  /** Null: polling only. */
  hints?: Hints | null;
  log: Logger;
  intervalMs?: number;
  safetyIntervalMs?: number;
}

interface Followed {
  followers: number;
  /** Followers were notified up to this seq. Unknown until the first poll or hint. */
  seq: number | undefined;
  /** Ends the hints. */
  leave: (() => void) | undefined;
}

function* chunks<T>(all: T[]): Generator<T[]> {
  for (let from = 0; from < all.length; from += SESSIONS_PER_QUESTION)
    yield all.slice(from, from + SESSIONS_PER_QUESTION);
}

/** True if the change directly follows `known`, with no other process's commit in between. */
const follows = ({ seq, events }: Change, known: number | undefined): boolean =>
  events !== undefined && known === seq - events.length;

/**
 * Decides whether a poll is due. Without hints every poll is due. Once hints arrive, one poll catches up at once and later
 * polls are rare.
 */
function createPace(areHinted: () => boolean, safetyIntervalMs: number) {
  let askedAt: number | undefined;
  return {
    areDue(): boolean {
      if (!areHinted()) askedAt = undefined;
      else if (askedAt !== undefined && performance.now() - askedAt < safetyIntervalMs) return false;
      else askedAt = performance.now();
      return true;
    },
    failed(): void {
      askedAt = undefined;
    },
  };
}

/** Repeats `look` after the delay it returned, so that a slow store is polled less. Stops once `isWanted` is false. */
function createRepeat(look: () => Promise<number>, isWanted: () => boolean) {
  let timer: NodeJS.Timeout | undefined;
  function again(afterMs: number): void {
    timer = undefined;
    if (!isWanted()) return;
    timer = setTimeout(() => void look().then(again), afterMs);
    timer.unref();
  }
  return (afterMs: number): void => {
    if (timer === undefined) again(afterMs);
  };
}

export function createPolledChannel(deps: PolledChannelDeps): LiveChannel {
  const {
    channel,
    seqsOf,
    hints = null,
    log,
    intervalMs = INTERVAL_MS,
    safetyIntervalMs = SAFETY_INTERVAL_MS,
  } = deps;
  const followed = new Map<string, Followed>();
  const questions = createPace(() => hints?.isLive() ?? false, safetyIntervalMs);

  function heard(change: Change): void {
    const { sessionId, seq } = change;
    const entry = followed.get(sessionId);
    if (!entry || (entry.seq !== undefined && seq <= entry.seq)) return;
    const isNext = follows(change, entry.seq);
    entry.seq = seq;
    channel.publish(isNext ? change : { sessionId, seq });
  }

  async function look(): Promise<number> {
    if (!questions.areDue()) return intervalMs;
    try {
      for (const ids of chunks([...followed.keys()]))
        for (const { id, seq } of await seqsOf(ids)) heard({ sessionId: id, seq });
      return intervalMs;
    } catch (error) {
      questions.failed();
      log.debug({ err: error }, 'Followed sessions could not be asked after');
      return BACKOFF_MS;
    }
  }

  const lookAgain = createRepeat(look, () => followed.size > 0);

  /** Hints leave out commits before the subscription, so followers read once more. */
  const listenTo = (sessionId: string) =>
    hints?.follow(sessionId, (change) => {
      if (change) heard(change);
      else channel.publish({ sessionId, seq: followed.get(sessionId)?.seq ?? 0 });
    });

  function begin(sessionId: string): Followed {
    const entry: Followed = { followers: 0, seq: undefined, leave: undefined };
    followed.set(sessionId, entry);
    entry.leave = listenTo(sessionId);
    return entry;
  }

  function follow(sessionId: string): void {
    const entry = followed.get(sessionId) ?? begin(sessionId);
    entry.followers += 1;
    lookAgain(intervalMs);
  }

  function leave(sessionId: string): void {
    const entry = followed.get(sessionId);
    if (!entry) return;
    entry.followers -= 1;
    if (entry.followers > 0) return;
    followed.delete(sessionId);
    entry.leave?.();
  }

  return {
    publish(change) {
      const entry = followed.get(change.sessionId);
      if (entry && follows(change, entry.seq)) entry.seq = change.seq;
      channel.publish(change);
      hints?.publish(change);
    },
    subscribe(sessionId, listener) {
      follow(sessionId);
      const unsubscribe = channel.subscribe(sessionId, listener);
      let isOn = true;
      return () => {
        unsubscribe();
        if (isOn) leave(sessionId);
        isOn = false;
      };
    },
    told: () => sleep(TOLD_AFTER_INTERVALS * intervalMs),
  };
}
