// Bounds pages by bytes: a response with a hundred rows of a megabyte each would block the process's other responses.

/** Counts stored bytes. The main thread parses, checks and serializes them in one go, which takes about 20 ms for each MiB. */
export const PAGE_BYTES_MAX = 4 * 1024 * 1024;

/** Ids, usage and times of a message, as JSON. */
export const MESSAGE_ENVELOPE_BYTES = 1_024;

/** Ids, name and times of a call, as JSON. */
export const CALL_ENVELOPE_BYTES = 700;

/**
 * @returns how many of the first rows fit into a page together.
 * @param leastCount A page of a list has at least one row whatever its size, so every list can be read to its end.
 */
export function countFitting(
  sizesBytes: readonly number[],
  { bytesMax = PAGE_BYTES_MAX, leastCount = 1 } = {},
): number {
  let sum = 0;
  const tooMuch = sizesBytes.findIndex((bytes, index) => {
    sum += bytes;
    return index >= leastCount && sum > bytesMax;
  });
  return tooMuch === -1 ? sizesBytes.length : tooMuch;
}
