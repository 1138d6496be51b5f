// A live channel for a store that other processes write to as well: one question for all followed sessions, asked while
// anything is followed, rings those that have moved. So the first word comes after a few hundredths of a second, not at a
// follower's own next look.
import type { Logger } from 'pino';
import type { Change, LiveChannel } from './live-channel.ts';

/** How late a follower may hear of another process's commit. The question costs PostgreSQL one look at an index a session. */
const INTERVAL_MS = 50;
/** Bounds the parameters of one question. */
const SESSIONS_PER_QUESTION = 500;
/** The store is away: its next answer can wait, for followers look by themselves meanwhile. */
const BACKOFF_MS = 1_000;

export interface PolledChannelDeps {
  /** This process's own, which is quicker for what this process writes. */
  channel: LiveChannel;
  seqsOf(sessionIds: string[]): Promise<{ id: string; seq: number }[]>;
  log: Logger;
  intervalMs?: number;
}

interface Followed {
  followers: number;
  /** Up to here the followers have been rung; unknown until the first answer. */
  seq: number | undefined;
}

function* chunks<T>(all: T[]): Generator<T[]> {
  for (let from = 0; from < all.length; from += SESSIONS_PER_QUESTION)
    yield all.slice(from, from + SESSIONS_PER_QUESTION);
}

/** What was followed before a commit of ours and everything in it. @returns whether nothing of another's lies between. */
const follows = ({ seq, events }: Change, known: number | undefined): boolean =>
  events !== undefined && known === seq - events.length;

export function createPolledChannel(deps: PolledChannelDeps): LiveChannel {
  const { channel, seqsOf, log, intervalMs = INTERVAL_MS } = deps;
  const followed = new Map<string, Followed>();
  let timer: NodeJS.Timeout | undefined;

  function heard(id: string, seq: number): void {
    const entry = followed.get(id);
    if (!entry || (entry.seq !== undefined && seq <= entry.seq)) return;
    entry.seq = seq;
    channel.publish({ sessionId: id, seq });
  }

  async function look(): Promise<number> {
    try {
      for (const ids of chunks([...followed.keys()]))
        for (const { id, seq } of await seqsOf(ids)) heard(id, seq);
      return intervalMs;
    } catch (error) {
      log.debug({ err: error }, 'Followed sessions could not be asked after');
      return BACKOFF_MS;
    }
  }

  /** Counted from the last answer, so that a slow store is asked less. */
  function again(afterMs: number): void {
    timer = undefined;
    if (followed.size === 0) return;
    timer = setTimeout(() => void look().then(again), afterMs);
    timer.unref();
  }

  function follow(sessionId: string): void {
    const entry = followed.get(sessionId) ?? { followers: 0, seq: undefined };
    entry.followers += 1;
    followed.set(sessionId, entry);
    if (timer === undefined) again(intervalMs);
  }

  function leave(sessionId: string): void {
    const entry = followed.get(sessionId);
    if (!entry) return;
    entry.followers -= 1;
    if (entry.followers === 0) followed.delete(sessionId);
  }

  return {
    publish(change) {
      const entry = followed.get(change.sessionId);
      if (entry && follows(change, entry.seq)) entry.seq = change.seq;
      channel.publish(change);
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
  };
}
