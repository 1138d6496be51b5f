// A live channel for a store that other processes write to as well. They say over Redis what they commit; while that can't
// be had, one question for all followed sessions, asked while anything is followed, rings those that have moved. So the first
// word comes after a few hundredths of a second, not at a follower's own next look.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Change, LiveChannel } from './live-channel.ts';

/** How late a follower may hear of another process's commit. The question costs PostgreSQL one look at an index a session. */
const INTERVAL_MS = 50;
/** The others have asked and read by then, also when they or the store are busy. */
const TOLD_AFTER_INTERVALS = 10;
/** While hints come: some of them may be lost, such as those of a process that alone has lost its way to Redis. */
const SAFETY_INTERVAL_MS = 1_000;
/** Bounds the parameters of one question. */
const SESSIONS_PER_QUESTION = 500;
/** The store is away: its next answer can wait, for followers look by themselves meanwhile. */
const BACKOFF_MS = 1_000;

/** What other processes say of their commits. Some may be lost: followers look by themselves, too. */
export interface Hints {
  /** While it is, hardly anything needs to be asked. */
  isLive(): boolean;
  publish(change: Change): void;
  /** @param heard gets a commit; null when from now on all are heard, which may come after a gap. @returns the end of it. */
  follow(sessionId: string, heard: (change: Change | null) => void): () => void;
}

export interface PolledChannelDeps {
  /** This process's own, which is quicker for what this process writes. */
  channel: LiveChannel;
  seqsOf(sessionIds: string[]): Promise<{ id: string; seq: number }[]>;
  /** Null: only the questions tell. */
  hints?: Hints | null;
  log: Logger;
  intervalMs?: number;
  safetyIntervalMs?: number;
}

interface Followed {
  followers: number;
  /** Up to here the followers have been rung; unknown until the first answer. */
  seq: number | undefined;
  /** Ends the hints. */
  leave: (() => void) | undefined;
}

function* chunks<T>(all: T[]): Generator<T[]> {
  for (let from = 0; from < all.length; from += SESSIONS_PER_QUESTION)
    yield all.slice(from, from + SESSIONS_PER_QUESTION);
}

/** What was followed before a commit and everything in it. @returns whether nothing of another's lies between. */
const follows = ({ seq, events }: Change, known: number | undefined): boolean =>
  events !== undefined && known === seq - events.length;

/** Each question is due while no hints come, then one at once about what was said meanwhile, and then a few. */
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

/** Repeats a look, so long after its last answer as it says: a slow store is asked less. Ends when nothing is wanted. */
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

  /** What was committed before the hints began is not told by them: followers look once more. */
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
