// The queue of those who catch up: pieces of much work, in order, and between them everything else that the process does.
import { createCatchUpQueue } from '../../src/events/catch-up-queue.ts';

/** Counts turns of the event loop until it is stopped. */
function countLoopTurns() {
  let count = 0;
  let isOn = true;
  const again = () => {
    if (!isOn) return;
    count += 1;
    setImmediate(again);
  };
  setImmediate(again);
  return {
    get count() {
      return count;
    },
    stop: () => {
      isOn = false;
    },
  };
}

async function work(next: () => Promise<void>, pieces: number, done: () => void): Promise<void> {
  for (let n = 0; n < pieces; n += 1) {
    await next();
    done();
  }
}

test('goes round: nobody has a second one before all who wait have had one', async () => {
  const { next } = createCatchUpQueue();
  const had: string[] = [];
  await Promise.all(['a', 'b', 'c'].map((name) => work(next, 3, () => had.push(name))));
  expect(had.join('')).toBe('abcabcabc');
});

/** In which turn of the loop each piece of ten callers was done. */
async function loopTurnsOf(shareMs: number, pieces: number): Promise<number[]> {
  const { next } = createCatchUpQueue(shareMs);
  const loop = countLoopTurns();
  const at: number[] = [];
  await Promise.all(Array.from({ length: 10 }, () => work(next, pieces, () => at.push(loop.count))));
  loop.stop();
  expect(at).toHaveLength(10 * pieces);
  return at;
}

test('calls up one in each turn of the loop when a piece takes all of its share', async () => {
  expect(new Set(await loopTurnsOf(0, 3)).size).toBe(30);
});

test('calls up one after the other in one turn of the loop while its share lasts', async () => {
  expect(new Set(await loopTurnsOf(Number.POSITIVE_INFINITY, 100)).size).toBe(1);
});

test('calls up again after it was empty', async () => {
  const { next } = createCatchUpQueue();
  await next();
  await new Promise(setImmediate);
  await next();
});
