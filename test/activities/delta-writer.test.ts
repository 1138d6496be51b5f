// How text gets from the model into the log: at once when it is the first, in groups when it keeps coming.
import fc from 'fast-check';
import { createDeltaWriter } from '../../activities/delta-writer.ts';
import type { StepWriter } from '../../src/turns/step-writer.ts';

const WRITER: StepWriter = {
  sessionId: 'sess_1',
  replyId: 'msg_1',
  step: 1,
  fence: 1,
  callId: 'mcall_1',
  model: 'claude-haiku',
};

/** A store whose writes the test ends by hand. */
function controlledStore() {
  const writes: { text: string; end: (result: boolean | Error) => void }[] = [];
  const appendText = (_writer: StepWriter, text: string) =>
    new Promise<boolean>((resolve, reject) => {
      writes.push({ text, end: (result) => (result instanceof Error ? reject(result) : resolve(result)) });
    });
  return { writes, appendText };
}

const stops: unknown[] = [];
const onStopped = (reason: unknown) => stops.push(reason);
const texts = (writes: { text: string }[]) => writes.map((write) => write.text);
const settle = async () => {
  for (let n = 0; n < 10; n += 1) await Promise.resolve();
};

beforeEach(() => {
  stops.length = 0;
  jest.useFakeTimers();
});
afterEach(() => jest.useRealTimers());

/** What is already here has been taken: the next turn of the event loop. */
const nextTurn = () => jest.advanceTimersByTime(0);

test('the first text is written at once, with what came in the same packet', () => {
  const { writes, appendText } = controlledStore();
  const deltas = createDeltaWriter({ writer: WRITER, appendText, onStopped });
  deltas.push('Hel');
  deltas.push('lo');
  expect(texts(writes)).toEqual([]);
  nextTurn();
  expect(texts(writes)).toEqual(['Hello']);
});

test('an answer that came whole is all rest: its end writes it', async () => {
  const { writes, appendText } = controlledStore();
  const deltas = createDeltaWriter({ writer: WRITER, appendText, onStopped });
  deltas.push('Hel');
  deltas.push('lo');
  await expect(deltas.rest()).resolves.toBe('Hello');
  nextTurn();
  expect(texts(writes)).toEqual([]);
});

test('what comes during a write, and shortly after it, is one group', async () => {
  const { writes, appendText } = controlledStore();
  const deltas = createDeltaWriter({ writer: WRITER, appendText, onStopped });
  deltas.push('Hel');
  nextTurn();
  deltas.push('lo');
  writes[0]?.end(true);
  await settle();
  deltas.push(' the');
  expect(texts(writes)).toEqual(['Hel']);
  jest.advanceTimersByTime(20);
  expect(texts(writes)).toEqual(['Hel', 'lo the']);
});

test('a slow store gets one write at a time, and the longer it takes, the more each holds', async () => {
  const { writes, appendText } = controlledStore();
  const deltas = createDeltaWriter({ writer: WRITER, appendText, onStopped });
  for (const text of ['a', 'b', 'c']) {
    deltas.push(text);
    jest.advanceTimersByTime(1_000);
  }
  expect(texts(writes)).toEqual(['a']);
  writes[0]?.end(true);
  await settle();
  jest.advanceTimersByTime(20);
  expect(texts(writes)).toEqual(['a', 'bc']);
});

test('text after a pause is written at once again', async () => {
  const { writes, appendText } = controlledStore();
  const deltas = createDeltaWriter({ writer: WRITER, appendText, onStopped });
  deltas.push('a');
  nextTurn();
  writes[0]?.end(true);
  await settle();
  jest.advanceTimersByTime(500);
  deltas.push('b');
  nextTurn();
  expect(texts(writes)).toEqual(['a', 'b']);
});

test('a refused writer stops: it says so once and writes nothing more', async () => {
  const { writes, appendText } = controlledStore();
  const deltas = createDeltaWriter({ writer: WRITER, appendText, onStopped });
  deltas.push('a');
  nextTurn();
  deltas.push('b');
  writes[0]?.end(false);
  await settle();
  jest.advanceTimersByTime(1_000);
  deltas.push('c');
  jest.advanceTimersByTime(1_000);
  expect(texts(writes)).toEqual(['a']);
  expect(stops).toEqual(['refused']);
});

test('a failed write stops it as well, with the reason', async () => {
  const { writes, appendText } = controlledStore();
  const deltas = createDeltaWriter({ writer: WRITER, appendText, onStopped });
  const error = new Error('disk full');
  deltas.push('a');
  nextTurn();
  writes[0]?.end(error);
  await settle();
  deltas.push('b');
  jest.advanceTimersByTime(1_000);
  expect(texts(writes)).toEqual(['a']);
  expect(stops).toEqual([{ error }]);
});

test('the rest is what was not written, and waits for the write under way', async () => {
  const { writes, appendText } = controlledStore();
  const deltas = createDeltaWriter({ writer: WRITER, appendText, onStopped });
  deltas.push('a');
  nextTurn();
  deltas.push('b');
  let rest: string | undefined;
  const ending = deltas.rest().then((text) => {
    rest = text;
  });
  await settle();
  expect(rest).toBeUndefined();
  writes[0]?.end(true);
  await ending;
  expect(rest).toBe('b');
  jest.advanceTimersByTime(1_000);
  expect(texts(writes)).toEqual(['a']);
});

test('what is written and the rest are together what was pushed, in order, whatever the pace', async () => {
  jest.useRealTimers();
  const pace = fc.array(fc.record({ text: fc.string({ minLength: 1, maxLength: 5 }), pauseMs: fc.nat(25) }), {
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(pace, fc.array(fc.nat(30), { maxLength: 12 }), async (pushes, delaysMs) => {
      jest.useFakeTimers();
      const written: string[] = [];
      let under = 0;
      const appendText = async (_writer: StepWriter, text: string) => {
        under += 1;
        expect(under).toBe(1);
        const delayMs = delaysMs[written.length] ?? 0;
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        written.push(text);
        under -= 1;
        return true;
      };
      const deltas = createDeltaWriter({ writer: WRITER, appendText, onStopped });
      for (const { text, pauseMs } of pushes) {
        deltas.push(text);
        await jest.advanceTimersByTimeAsync(pauseMs);
      }
      const rest = deltas.rest();
      await jest.advanceTimersByTimeAsync(100);
      expect([...written, await rest].join('')).toBe(pushes.map(({ text }) => text).join(''));
      expect(written).not.toContain('');
      await jest.advanceTimersByTimeAsync(100);
      expect(under).toBe(0);
    }),
    { numRuns: 60 },
  );
  expect(stops).toEqual([]);
});
