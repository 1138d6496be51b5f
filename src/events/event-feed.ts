// Reads a session's log after a cursor and then follows it. Every stream is an encoder over this feed.
import type { EventType, SessionEvent } from '../contracts/events.ts';
import type { SessionLog } from '../stores/log.ts';
import { type Bell, createBell, POLL_INTERVAL_MS } from './bell.ts';
import { type CatchUpQueue, createCatchUpQueue } from './catch-up-queue.ts';
import type { LiveChannel } from './live-channel.ts';
import { unlessAway } from './unless-away.ts';

/** Read at once of what is new: seldom more than a few. A reader that gets so many is behind. */
const NEW = { limit: 10 };
/**
 * And by a reader that is behind, each time it is called up. What it has not taken yet stays in our memory, however long it takes:
 * fifty that begin to read at once cost 50 to 90 MiB for half a minute, and with pages four times as long 160 to 220.
 */
const MISSED = { limit: 50, bytesMax: 32 * 1024 };

/**
 * Whoever appends rings the reader's bell. It looks by itself, too, in case a ring was lost, the less often the longer nothing
 * has come: there may be thousands who follow what nobody speaks to.
 */
const IDLE_MS_MAX = 5_000;

function createIdleTimes() {
  let nextMs = POLL_INTERVAL_MS;
  return {
    next(): number {
      const ms = nextMs;
      nextMs = Math.min(2 * ms, IDLE_MS_MAX);
      return ms;
    },
    reset(): void {
      nextMs = POLL_INTERVAL_MS;
    },
  };
}

export interface FollowQuery {
  sessionId: string;
  after: number;
  messageId?: string | null;
  types?: readonly EventType[] | null;
  signal: AbortSignal;
  /** Asked when nothing new has come for a while: true when nothing ever will. */
  isOver?: () => Promise<boolean>;
}

export type EventFeed = ReturnType<typeof createEventFeed>;

const never = async () => false;

/** What can't be asked now is not so yet. */
const surely = async (ask: () => Promise<boolean>): Promise<boolean> => (await unlessAway(ask())) ?? false;

interface Read {
  events: SessionEvent[];
  /** All there was has been read; what has come since has rung. */
  isAtEnd: boolean;
}

/** Holds no event longer than it takes to pass it on: a reader may wait for hours, and events may be megabytes. */
function* pass(
  { events, isAtEnd }: Read,
  signal: AbortSignal,
): Generator<SessionEvent, { count: number; isAtEnd: boolean }> {
  const count = events.length;
  events.reverse();
  for (let event = events.pop(); event && !signal.aborted; event = events.pop()) yield event;
  return { count, isAtEnd };
}

/** Reads on from the query's cursor: while it is behind, a page each time it is called up, so that others are served between. */
function createReader(log: SessionLog, queue: CatchUpQueue, query: FollowQuery): () => Promise<Read> {
  let { after } = query;
  let isBehind = true;
  return async () => {
    const wasBehind = isBehind;
    if (wasBehind) await queue.next();
    const events = await log.read({ ...query, after, ...(wasBehind ? MISSED : NEW) });
    after = events.at(-1)?.seq ?? after;
    // A few of what was missed may be few for their size: such a reader is behind until nothing comes.
    isBehind = wasBehind ? events.length > 0 : events.length >= NEW.limit;
    return { events, isAtEnd: !isBehind };
  };
}

/** A store that is away is asked again a little later, until the signal aborts. */
async function patiently(read: () => Promise<Read>, bell: Bell, signal: AbortSignal): Promise<Read> {
  while (!signal.aborted) {
    const found = await unlessAway(read());
    if (found) return found;
    await bell.listen()(POLL_INTERVAL_MS);
  }
  return { events: [], isAtEnd: false };
}

export function createEventFeed({ log, channel }: { log: SessionLog; channel: LiveChannel }) {
  const queue = createCatchUpQueue();

  async function* tail(query: FollowQuery, bell: Bell): AsyncGenerator<SessionEvent> {
    const { signal, isOver = never } = query;
    const read = createReader(log, queue, query);
    const idleTimes = createIdleTimes();
    let over = false;
    while (!signal.aborted) {
      const heard = bell.listen();
      const { count, isAtEnd } = yield* pass(await patiently(read, bell, signal), signal);
      if (count > 0) idleTimes.reset();
      // Nothing came after it was over: what was written between a look and that question is not missed.
      else if (over) return;
      if (over || !isAtEnd) continue;
      over = !(await heard(idleTimes.next())) && (await surely(isOver));
    }
  }

  /** Yields events in order, for ever, until `signal` aborts; then it ends without an error. */
  async function* follow(query: FollowQuery): AsyncGenerator<SessionEvent> {
    const bell = createBell(query.signal);
    const unsubscribe = channel.subscribe(query.sessionId, bell.ring);
    try {
      yield* tail(query, bell);
    } finally {
      unsubscribe();
      bell.stop();
    }
  }

  return { follow };
}
