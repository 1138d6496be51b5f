// Lets a reader wait for the next change of what it reads: a live channel rings it, and an abort.

/** Another process may write without this one's channel hearing of it, so whoever waits looks this often anyway. */
export const POLL_INTERVAL_MS = 1_000;

export type Bell = ReturnType<typeof createBell>;

/** Wakes one waiter. A ring between `listen` and the wait is not lost. */
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
    /** Forgets earlier rings. @returns a wait for the next one, at most so long; false when none came. */
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
