// Turns of those who have much to do at once: one piece each, in order, and together a little of each turn of the event loop.

/** So long in each turn of the loop; who answers a client waits no longer, however many want turns. */
const SHARE_MS = 0.5;

export type Turns = ReturnType<typeof createTurns>;

export function createTurns(shareMs = SHARE_MS) {
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
