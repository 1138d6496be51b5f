// Notifies followers in this process that session X is at seq N. The notification is a hint, so followers read the log again.
import { setImmediate } from 'node:timers/promises';
import type { EventType } from '../contracts/events.ts';

export interface Change {
  sessionId: string;
  seq: number;
  /** The appended events of this process's own commit. Absent if unknown events may have been appended. */
  events?: readonly { type: EventType; message_id: string | null }[];
}

export interface LiveChannel {
  publish(change: Change): void;
  /** @returns a function that ends the subscription. */
  subscribe(sessionId: string, listener: (change: Change) => void): () => void;
  /** Resolves when all followers have had time to read the published events, so their session may be removed. */
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
