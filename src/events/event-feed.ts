// Reads a session's log after a cursor and then follows it. Every stream is an encoder over this feed.
import type { EventType, SessionEvent } from '../contracts/events.ts';
import type { SessionLog } from '../stores/log.ts';
import { type Bell, createBell, POLL_INTERVAL_MS } from './bell.ts';
import type { LiveChannel } from './live-channel.ts';

/** Events read at once: bounds the memory of a reader that starts far behind. */
const BATCH_EVENTS = 200;

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

function* untilAborted(events: SessionEvent[], signal: AbortSignal): Generator<SessionEvent> {
  for (const event of events) {
    if (signal.aborted) return;
    yield event;
  }
}

export function createEventFeed({ log, channel }: { log: SessionLog; channel: LiveChannel }) {
  async function* tail(query: FollowQuery, bell: Bell): AsyncGenerator<SessionEvent> {
    const { signal, isOver = never } = query;
    let { after } = query;
    let over = false;
    while (!signal.aborted) {
      const heard = bell.listen();
      const events = await log.read({ ...query, after, limit: BATCH_EVENTS });
      yield* untilAborted(events, signal);
      after = events.at(-1)?.seq ?? after;
      // Nothing came after it was over: what was written between a look and that question is not missed.
      if (over && events.length === 0) return;
      // All there was has been read; what has come since has rung, so that only the next wait needs to tell.
      const isAtEnd = events.length < BATCH_EVENTS;
      if (over || !isAtEnd) continue;
      over = !(await heard(POLL_INTERVAL_MS)) && (await isOver());
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
