// Reads a session's log after a cursor and then follows it. Every stream is an encoder over this feed.
import type { EventType, SessionEvent } from '../contracts/events.ts';
import type { SessionLog } from '../stores/log.ts';
import { type Bell, createBell, POLL_INTERVAL_MS } from './bell.ts';
import type { LiveChannel } from './live-channel.ts';
import { createTurns, type Turns } from './turns.ts';
import { unlessAway } from './unless-away.ts';

/** Read at once of what is new: seldom more than a few. A reader that gets so many is behind. */
const NEW = { limit: 10 };
/** And by a reader that is behind: what it has not taken yet stays in our memory, however long it takes. */
const MISSED = { limit: 200, bytesMax: 128 * 1024 };

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
  /** They were missed, and there may be very many more. */
  areMissed: boolean;
  /** All there was has been read; what has come since has rung. */
  isAtEnd: boolean;
}

/** Reads on from the query's cursor, more at once while it is behind. */
function createReader(log: SessionLog, query: FollowQuery): () => Promise<Read> {
  let { after } = query;
  let isBehind = true;
  return async () => {
    const areMissed = isBehind;
    const events = await log.read({ ...query, after, ...(areMissed ? MISSED : NEW) });
    after = events.at(-1)?.seq ?? after;
    // A few of what was missed may be few for their size: such a reader is behind until nothing comes.
    isBehind = areMissed ? events.length > 0 : events.length >= NEW.limit;
    return { events, areMissed, isAtEnd: !isBehind };
  };
}

/** A store that is away is asked again a little later, until the signal aborts. */
async function patiently(read: () => Promise<Read>, bell: Bell, signal: AbortSignal): Promise<Read> {
  while (!signal.aborted) {
    const found = await unlessAway(read());
    if (found) return found;
    await bell.listen()(POLL_INTERVAL_MS);
  }
  return { events: [], areMissed: false, isAtEnd: false };
}

/** What was missed comes in turns: a reader that is far behind would otherwise keep all others waiting until it has caught up. */
async function* untilAborted(
  { events, areMissed }: Read,
  turns: Turns,
  signal: AbortSignal,
): AsyncGenerator<SessionEvent> {
  for (const event of events) {
    if (areMissed) await turns.next();
    if (signal.aborted) return;
    yield event;
  }
}

export function createEventFeed({ log, channel }: { log: SessionLog; channel: LiveChannel }) {
  const turns = createTurns();

  async function* tail(query: FollowQuery, bell: Bell): AsyncGenerator<SessionEvent> {
    const { signal, isOver = never } = query;
    const read = createReader(log, query);
    const idleTimes = createIdleTimes();
    let over = false;
    while (!signal.aborted) {
      const heard = bell.listen();
      const found = await patiently(read, bell, signal);
      const { events, isAtEnd } = found;
      yield* untilAborted(found, turns, signal);
      if (events.length > 0) idleTimes.reset();
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
