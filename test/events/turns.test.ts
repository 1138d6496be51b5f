// Turns: pieces of much work, in order, and between them everything else that the process does.
import { createTurns } from '../../src/events/turns.ts';

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

test('go round: nobody has a second one before all who wait have had one', async () => {
  const { next } = createTurns();
  const had: string[] = [];
  await Promise.all(['a', 'b', 'c'].map((name) => work(next, 3, () => had.push(name))));
  expect(had.join('')).toBe('abcabcabc');
});

test('are one for each turn of the loop when one takes all of their share', async () => {
  const { next } = createTurns(0);
  const loop = countLoopTurns();
  const at: number[] = [];
  await Promise.all(Array.from({ length: 10 }, () => work(next, 3, () => at.push(loop.count))));
  loop.stop();
  expect(at).toHaveLength(30);
  expect(new Set(at).size).toBe(30);
});

test('follow each other in one turn of the loop while their share lasts', async () => {
  const { next } = createTurns(Number.POSITIVE_INFINITY);
  const loop = countLoopTurns();
  const at: number[] = [];
  await Promise.all(Array.from({ length: 10 }, () => work(next, 100, () => at.push(loop.count))));
  loop.stop();
  expect(at).toHaveLength(1_000);
  expect(new Set(at).size).toBe(1);
});

test('come again after nobody has wanted any', async () => {
  const { next } = createTurns();
  await next();
  await new Promise(setImmediate);
  await next();
});
