// A stop undoes all that a start has begun, also what the start finishes meanwhile.
import pino from 'pino';
import { createCleanup } from '../../src/commands/cleanup.ts';

const log = pino({ level: 'silent' });

function gate() {
  let open: () => void = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
}

test('the last part is undone first, also after one that fails', async () => {
  const cleanup = createCleanup(log);
  const undone: string[] = [];
  const part = (name: string) => async () => void undone.push(name);
  cleanup.add('store', part('store'));
  cleanup.add('server', () => Promise.reject(new Error('no')));
  cleanup.add('worker', part('worker'));
  await cleanup.run();
  expect(undone).toEqual(['worker', 'store']);
});

test('a part that is added during the stop, and one that is added then, are waited for', async () => {
  const cleanup = createCleanup(log);
  const [first, second, third] = [gate(), gate(), gate()];
  let hasEnded = false;
  cleanup.add('store', () => first.opened);
  const run = cleanup.run().then(() => (hasEnded = true));
  cleanup.add('server', async () => {
    await second.opened;
    cleanup.add('worker', () => third.opened);
  });
  for (const { open } of [first, second]) {
    open();
    await new Promise(setImmediate);
    expect(hasEnded).toBe(false);
  }
  third.open();
  await run;
});
