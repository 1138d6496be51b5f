// Says "session X is at seq N" to whoever follows it in this process. A hint, never the truth: the log is read again.
import { setImmediate } from 'node:timers/promises';
import type { EventType } from '../contracts/events.ts';

export interface Change {
  sessionId: string;
  seq: number;
  /** What was appended, when the commit was this process's own; without it anything may have been. */
  events?: readonly { type: EventType; message_id: string | null }[];
}

export interface LiveChannel {
  publish(change: Change): void;
  /** @returns a function that ends the subscription. */
  subscribe(sessionId: string, listener: (change: Change) => void): () => void;
  /** Resolves when all who follow have had the time to read what was said before: so it may be removed. */
  told(): Promise<void>;
}

export function createLiveChannel(): LiveChannel {
  const listeners = new Map<string, Set<(change: Change) => void>>();
  return {
    publish(change) {
      for (const listener of listeners.get(change.sessionId) ?? []) listener(change);
    },
    subscribe(sessionId, listener) {
      const ofSession = listeners.get(sessionId) ?? new Set();
      listeners.set(sessionId, ofSession.add(listener));
      return () => {
        ofSession.delete(listener);
        if (ofSession.size === 0 && listeners.get(sessionId) === ofSession) listeners.delete(sessionId);
      };
    },
    told: () => setImmediate(),
  };
}
