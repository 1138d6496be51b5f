// Lets a reader wait for the next change. The live channel notifies the reader, and so does an abort.

/** Another process may write without notifying this process's channel, so a waiting reader also polls at this interval. */
export const POLL_INTERVAL_MS = 1_000;

export type Bell = ReturnType<typeof createBell>;

/** Wakes one reader. A notification between `listen` and the wait counts. */
export function createBell(signal: AbortSignal) {
  let wake: (() => void) | undefined;
  let rung = false;
  const ring = () => {
    rung = true;
    wake?.();
  };
  signal.addEventListener('abort', ring);
  return {
    ring,
    /**
     * Clears earlier notifications. @returns a wait for the next notification, with a timeout. Resolves to false if none came.
     */
    listen() {
      rung = false;
      return (timeoutMs: number): Promise<boolean> => {
        if (rung || signal.aborted) return Promise.resolve(true);
        return new Promise((resolve) => {
          const timer = setTimeout(done, timeoutMs);
          function done() {
            clearTimeout(timer);
            wake = undefined;
            resolve(rung);
          }
          wake = done;
        });
      };
    },
    stop: () => signal.removeEventListener('abort', ring),
  };
}
