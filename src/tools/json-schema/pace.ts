// Lets other requests run between two schemas: one takes some tens of milliseconds at most, a request or a step has 128.

/** What a run of small schemas may take at once. */
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

  /** Returns at once within a slice. Otherwise callers proceed one by one, each in its own turn of the event loop. */
  return async function pace(): Promise<void> {
    if (performance.now() - sliceStart < SLICE_MS) return;
    queue = queue.then(nextSlice);
    await queue;
  };
}
