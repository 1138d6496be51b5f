// Readers that are far behind share a queue. Each reads one page and queues again. Together they use a small share of each turn
// of the event loop.

/** Time per turn of the event loop, so that requests stay fast however many readers are queued. */
const SHARE_MS = 0.5;

export type CatchUpQueue = ReturnType<typeof createCatchUpQueue>;

export function createCatchUpQueue(shareMs = SHARE_MS) {
  const waiting: (() => void)[] = [];
  let isServing = false;

  function serve(): void {
    const end = performance.now() + shareMs;
    function next(): void {
      waiting.shift()?.();
      // Node runs every microtask first, so the piece runs up to its first wait for I/O.
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
    /** Resolves when the caller may do its next piece. */
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
