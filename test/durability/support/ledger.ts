// What the clients were told, and when: the evidence against which the server's own story is held.
import type { SseFrame } from '../../support/api-client.ts';

export type Mode = 'sync' | 'background' | 'stream';

/** One message of one client, with every try to send it. */
export interface Entry {
  client: number;
  sessionId: string;
  /** Its own in the whole run: the model's calls are found by it. */
  content: string;
  mode: Mode;
  /** What the model is to look up with the client's own tool, one call each. */
  keys: string[];
  sentAt: number;
  /** Answers that promise it: null while there was none, and such a message may be there or not. */
  acknowledged: { at: number; status: number; replyId: string } | null;
  /** The finished reply as the client was given it. */
  reply: Reply | null;
  repliedAt: number | null;
  /** Its client asks for the reply until it is over. */
  isAwaited: boolean;
  /** What its streams have shown, all tries one after the other. */
  frames: SseFrame[];
  /** Its last stream ended with the final frame. */
  streamEnded: boolean;
  /** The answer to an interrupt that named it. */
  interrupted: Reply | null;
}

export type Reply = any;

/** Moments at which a process may be killed. */
export type Point = 'acknowledged' | 'streaming' | 'answered';

export interface Ledger {
  entries: Entry[];
  /** Answers that no good server gives, whatever is killed. */
  faults: string[];
  /** Times of everything that went well for a client. */
  successes: number[];
  add(entry: Pick<Entry, 'client' | 'sessionId' | 'content' | 'mode' | 'keys'>): Entry;
  /** Says that such a moment is now. */
  reach(point: Point): void;
  /** Resolves in the same moment as it is reached. */
  next(point: Point): Promise<void>;
}

export function createLedger(): Ledger {
  const entries: Entry[] = [];
  const waiting = new Map<Point, (() => void)[]>();
  return {
    entries,
    faults: [],
    successes: [],
    add(own) {
      const entry: Entry = {
        ...own,
        sentAt: Date.now(),
        acknowledged: null,
        reply: null,
        repliedAt: null,
        isAwaited: false,
        frames: [],
        streamEnded: false,
        interrupted: null,
      };
      entries.push(entry);
      return entry;
    },
    reach(point) {
      const wake = waiting.get(point) ?? [];
      waiting.delete(point);
      for (const each of wake) each();
    },
    next: (point) =>
      new Promise((resolve) => {
        waiting.set(point, [...(waiting.get(point) ?? []), resolve]);
      }),
  };
}
