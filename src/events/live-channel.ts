// Says "session X is at seq N" to whoever follows it in this process. A hint, never the truth: the log is read again.

export interface Change {
  sessionId: string;
  seq: number;
}

export interface LiveChannel {
  publish(change: Change): void;
  /** @returns a function that ends the subscription. */
  subscribe(sessionId: string, listener: (change: Change) => void): () => void;
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
  };
}
