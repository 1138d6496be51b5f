// Senders that stay with a session: what is rung while they are there is looked for, and who rings is told whether anybody is.
import { type Attended, createAttendance } from '../../src/webhooks/attendance.ts';

const STAY_MS = 1_000;

beforeEach(() => jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }));
afterEach(() => jest.useRealTimers());

/** All that was begun goes on as far as it can. */
const settle = () => new Promise(setImmediate);

/** A sender whose rounds end when the test says so. */
function startSender(overrides: Partial<Attended> = {}) {
  const attendance = createAttendance(STAY_MS);
  const rounds: { end(): void; fail(error: Error): void }[] = [];
  let outcome: unknown = 'there';
  const round = () =>
    new Promise<void>((resolve, reject) => {
      rounds.push({ end: resolve, fail: reject });
    });
  const { signal } = new AbortController();
  attendance.during('sess', { round, isOver: () => false, signal, ...overrides }).then(
    ({ isRefused }) => {
      outcome = isRefused ? 'gone too early' : 'gone';
    },
    (error) => {
      outcome = error;
    },
  );
  return { attendance, rounds, ring: () => attendance.ring('sess'), outcome: () => outcome };
}

it('stays for a moment after its last round, and then whoever rings is told that nobody is there', async () => {
  const { attendance, rounds, ring, outcome } = startSender();
  expect(attendance.ring('another')).toBe(false);
  rounds[0]?.end();
  await settle();
  jest.advanceTimersByTime(STAY_MS - 1);
  expect(ring()).toBe(true);
  expect(rounds).toHaveLength(2);
  rounds[1]?.end();
  await settle();
  jest.advanceTimersByTime(STAY_MS - 1);
  await settle();
  expect(outcome()).toBe('there');
  jest.advanceTimersByTime(1);
  expect(ring()).toBe(false);
  await settle();
  expect(outcome()).toBe('gone');
});

it('looks again while a round waits for its receiver, in four rounds at most, and once more for what came then', async () => {
  const { rounds, ring } = startSender();
  for (let n = 0; n < 10; n += 1) expect(ring()).toBe(true);
  expect(rounds).toHaveLength(4);
  rounds[2]?.end();
  await settle();
  expect(rounds).toHaveLength(5);
  rounds[1]?.end();
  await settle();
  expect(rounds).toHaveLength(5);
});

it('is with nobody any more when a round has failed, and says so when the others are over', async () => {
  const { rounds, ring, outcome } = startSender();
  ring();
  const error = new Error('The store is away');
  rounds[0]?.fail(error);
  await settle();
  expect([ring(), outcome()]).toEqual([false, 'there']);
  rounds[1]?.end();
  await settle();
  expect(outcome()).toBe(error);
});

it('leaves at once when it is told to', async () => {
  const stopping = new AbortController();
  const { rounds, ring, outcome } = startSender({ signal: stopping.signal });
  rounds[0]?.end();
  await settle();
  stopping.abort();
  expect(ring()).toBe(false);
  await settle();
  expect(outcome()).toBe('gone');
});

it('leaves when its time is over and somebody rings, who tells the workflow then', async () => {
  let isOver = false;
  const { rounds, ring, outcome } = startSender({ isOver: () => isOver });
  rounds[0]?.end();
  await settle();
  isOver = true;
  expect(ring()).toBe(false);
  await settle();
  expect([rounds.length, outcome()]).toEqual([1, 'gone too early']);
});

it('a second sender of a session does its round and goes', async () => {
  const { attendance, ring } = startSender();
  const { signal } = new AbortController();
  const round = jest.fn(async () => undefined);
  await attendance.during('sess', { round, isOver: () => false, signal });
  expect(round).toHaveBeenCalledTimes(1);
  ring();
  expect(round).toHaveBeenCalledTimes(1);
});

it('one of a new run takes over', async () => {
  const { attendance, rounds, ring, outcome } = startSender();
  rounds[0]?.end();
  await settle();
  const round = jest.fn(async () => undefined);
  const { signal } = new AbortController();
  const second = attendance.during('sess', { round, isOver: () => false, signal }, true);
  ring();
  expect([rounds.length, round.mock.calls.length]).toEqual([1, 2]);
  await settle();
  jest.advanceTimersByTime(STAY_MS);
  await second;
  await settle();
  expect([outcome(), ring()]).toEqual(['gone', false]);
});

it('nobody stays who is told to leave before it has begun', async () => {
  const stopping = new AbortController();
  stopping.abort();
  const { rounds, ring, outcome } = startSender({ signal: stopping.signal });
  expect(ring()).toBe(false);
  rounds[0]?.end();
  await settle();
  expect(outcome()).toBe('gone');
});
