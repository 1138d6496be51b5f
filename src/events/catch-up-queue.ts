// Those who have much to catch up on stand in a queue: each does one piece and joins it again, and together they take a little of
// each turn of the event loop.

/** So long in each turn of the loop: whoever answers a client waits no longer, however many stand in the queue. */
const SHARE_MS = 0.5;

export type CatchUpQueue = ReturnType<typeof createCatchUpQueue>;

export function createCatchUpQueue(shareMs = SHARE_MS) {
  const waiting: (() => void)[] = [];
  let isServing = false;

  function serve(): void {
    const end = performance.now() + shareMs;
    function next(): void {
      waiting.shift()?.();
      // Node runs every microtask first, and so all of the piece that does not wait for anything else.
      queueMicrotask(() => process.nextTick(looked));
    }
    function looked(): void {
      isServing = waiting.length > 0;
      if (!isServing) return;
      if (performance.now() < end) next();
      else setImmediate(serve);
    }
    next();
  }

  return {
    /** Resolves when the caller is called up for its next piece. */
    next(): Promise<void> {
      return new Promise((resolve) => {
        waiting.push(resolve);
        if (isServing) return;
        isServing = true;
        setImmediate(serve);
      });
    },
  };
}
