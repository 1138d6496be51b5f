// Lets other requests run between two schemas. A schema takes some tens of milliseconds, and a request or step may have 128.

/** Small schemas run together for this long. */
const SLICE_MS = 10;

export function createPace() {
  let sliceStart = 0;
  let queue = Promise.resolve();

  const nextSlice = (): Promise<void> =>
    new Promise((resolve) => {
      setImmediate(() => {
        sliceStart = performance.now();
        resolve();
      });
    });

  /** Returns immediately within a slice. Otherwise callers proceed one by one, each in a new turn of the event loop. */
  return async function pace(): Promise<void> {
    if (performance.now() - sliceStart < SLICE_MS) return;
    queue = queue.then(nextSlice);
    await queue;
  };
}
