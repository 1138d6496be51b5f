// How often a workflow is told that webhooks of its session are to be sent: each time costs it a signal and an activity.
import { openTestStore, type TestStore } from '../support/store.ts';

const told: string[] = [];
const ends: unknown[] = [];
let store: TestStore;
beforeAll(async () => {
  store = await openTestStore({
    engine: {
      async signal(name, { sessionId }, argument) {
        if (name === 'deliver') told.push(sessionId);
        if (name === 'end') ends.push(argument);
      },
    },
  });
  await store.createWebhook();
  // The moment passes when the test says so.
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
});
afterAll(async () => {
  jest.useRealTimers();
  await store.close();
});
afterEach(() => {
  told.length = 0;
});

const tell = () => jest.advanceTimersByTime(50);

test('what sessions write within a moment is told to each of them once', async () => {
  const [one, other] = [await store.createSession(), await store.createSession()];
  await store.answer(await store.send(one), null);
  expect(told).toEqual([]);
  tell();
  expect(told).toEqual([one, other]);
  await store.answer(await store.send(other), null);
  tell();
  expect(told).toEqual([one, other, other]);
});

test('the end of a session says it itself, and nothing is said to a run that is over', async () => {
  const session = await store.createSession();
  await store.sessions.complete(store.caller, session);
  tell();
  expect(told).toEqual([]);
  expect(ends).toEqual([{ reason: 'completed', isDue: true }]);
});

test('a process that stops tells what it has not told yet', async () => {
  const session = await store.createSession();
  store.outbox.flushDue();
  expect(told).toEqual([session]);
});
