// Reads a session's log after a cursor and then follows new events. Every stream is an encoder over this feed.
import type { EventType, SessionEvent } from '../contracts/events.ts';
import type { SessionLog } from '../stores/log.ts';
import { type Bell, createBell, POLL_INTERVAL_MS } from './bell.ts';
import { type CatchUpQueue, createCatchUpQueue } from './catch-up-queue.ts';
import type { LiveChannel } from './live-channel.ts';
import { unlessAway } from './unless-away.ts';

/** Page size for new events, seldom more than a few. A full page means that the reader is behind. */
const NEW = { limit: 10 };
/**
 * Page size for a reader that is behind. Unsent events stay in memory for as long as the client takes. 50 readers that start
 * together cost 50 to 90 MiB for half a minute. Pages four times as long cost 160 to 220 MiB.
 */
const MISSED = { limit: 50, bytesMax: 32 * 1024 };

/**
 * Appends notify the reader. The reader also polls in case a notification got lost, less often the longer nothing arrives.
 * Thousands of readers may follow idle sessions.
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
  /** Called after a while without new events. True means no event will ever follow. */
  isOver?: () => Promise<boolean>;
}

export type EventFeed = ReturnType<typeof createEventFeed>;

const never = async () => false;

/** False while the store is unavailable. */
const surely = async (ask: () => Promise<boolean>): Promise<boolean> => (await unlessAway(ask())) ?? false;

interface Read {
  events: SessionEvent[];
  /** True if everything was read. Later events have notified the reader. */
  isAtEnd: boolean;
}

/** Yields the events one by one and releases each: a client may take hours, and events may be megabytes. */
function* pass(
  { events, isAtEnd }: Read,
  signal: AbortSignal,
): Generator<SessionEvent, { count: number; isAtEnd: boolean }> {
  const count = events.length;
  events.reverse();
  for (let event = events.pop(); event && !signal.aborted; event = events.pop()) yield event;
  return { count, isAtEnd };
}

/** Reads on from the query's cursor. A reader that is behind queues before each page, so that others are served in between. */
function createReader(log: SessionLog, queue: CatchUpQueue, query: FollowQuery): () => Promise<Read> {
  let { after } = query;
  let isBehind = true;
  return async () => {
    const wasBehind = isBehind;
    if (wasBehind) await queue.next();
    const events = await log.read({ ...query, after, ...(wasBehind ? MISSED : NEW) });
    after = events.at(-1)?.seq ?? after;
    // A page of missed events may be short because of its size limit, so the reader stays behind until a page is empty.
    isBehind = wasBehind ? events.length > 0 : events.length >= NEW.limit;
    return { events, isAtEnd: !isBehind };
  };
}

/** Repeats a read while the store is unavailable, until the signal aborts. */
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
      // `isOver` was true, and this later read found nothing. So no event written in between is missed.
      else if (over) return;
      if (over || !isAtEnd) continue;
      over = !(await heard(idleTimes.next())) && (await surely(isOver));
    }
  }

  /** Yields events in order until `signal` aborts or `isOver` is true, then ends without an error. */
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
