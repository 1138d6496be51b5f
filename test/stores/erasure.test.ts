// When the reconciler erases the traces of a deleted session, and when it stops.
import type { Engine, Erasure } from '../../src/services/engine.ts';
import { eventually } from '../support/api-client.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

const SECOND = 1_000;
const DAY = 24 * 60 * 60 * SECOND;

let nowMs = 0;
let asked: { id: string; ageMs: number; evenOpen: boolean }[] = [];
let answer: () => Promise<Erasure>;
let deletedAt = 0;

/** The next message is lost on its way to its workflow. */
let losesMessage = false;
const told: string[] = [];

const engine: Partial<Engine> = {
  async signal(name, _session, argument) {
    if (name !== 'message' || !('messageId' in argument)) return;
    if (!losesMessage) return void told.push(argument.messageId);
    losesMessage = false;
    throw new Error('lost');
  },
  async erase(id, { evenOpen }) {
    asked.push({ id, ageMs: nowMs - deletedAt, evenOpen });
    return answer();
  },
};

let store: TestStore;
let session: string;
beforeEach(async () => {
  nowMs = Date.parse('2026-03-01T12:00:00Z');
  asked = [];
  answer = async () => 'gone';
  store = await openTestStore({ now: () => nowMs, engine });
  session = await store.createSession();
});
afterEach(() => store.close());

async function deleteIt(): Promise<void> {
  deletedAt = nowMs;
  await store.sessions.delete(store.caller, session);
  await eventually(
    () => store.unsent(session),
    (signals) => signals.length === 0,
  );
}

/** Passes every five seconds, as the product makes them. */
async function passFor(ms: number, everyMs = 5 * SECOND): Promise<void> {
  for (const until = nowMs + ms; nowMs <= until; nowMs += everyMs) await store.sweep.run();
}

const erasedAt = async () => (await store.sessionRow(session)).erased_at;

test('a session that lives is not asked after', async () => {
  await passFor(60 * SECOND);
  expect(asked).toEqual([]);
});

test('a deleted session is erased when Temporal holds nothing of it after the last late signal', async () => {
  await deleteIt();
  await passFor(25 * SECOND);
  expect(asked.length).toBeGreaterThan(1);
  expect(await erasedAt()).toBeNull();
  await passFor(60 * SECOND);
  const count = asked.length;
  expect(await erasedAt()).not.toBeNull();
  await passFor(600 * SECOND, 60 * SECOND);
  expect(asked).toHaveLength(count);
});

test('a run that stays open is deleted after ten minutes', async () => {
  answer = async () => 'open';
  await deleteIt();
  await passFor(1_500 * SECOND, 30 * SECOND);
  expect(asked.find(({ evenOpen }) => evenOpen)?.ageMs).toBeGreaterThan(600 * SECOND);
  expect(await erasedAt()).toBeNull();
});

test.each<[string, () => Promise<Erasure>]>([
  ['refuses', async () => 'refused'],
  ['fails', async () => Promise.reject(new Error('away'))],
])('when Temporal %s, the checks get rare and end after 30 days', async (_case, next) => {
  answer = next;
  await deleteIt();
  await passFor(300 * SECOND, 10 * SECOND);
  expect(asked.length).toBeLessThan(12);
  await passFor(33 * DAY, DAY / 2);
  expect(asked.length).toBeLessThan(60);
  expect(await erasedAt()).not.toBeNull();
});

test('while the end is still to be sent to a webhook, the session is not erased', async () => {
  const { id } = await store.createWebhook();
  await deleteIt();
  await passFor(60 * SECOND, 10 * SECOND);
  expect(asked).toEqual([]);
  expect(await erasedAt()).toBeNull();
  await store.services.webhooks.delete(store.caller, id, null);
  await passFor(600 * SECOND, 60 * SECOND);
  expect(await erasedAt()).not.toBeNull();
});

test('a Temporal that erases slowly keeps no lost message waiting', async () => {
  await deleteIt();
  let erased: (erasure: Erasure) => void = () => undefined;
  answer = () =>
    new Promise((resolve) => {
      erased = resolve;
    });
  store.sweep.start();
  await eventually(
    async () => asked.length,
    (count) => count > 0,
  );
  const other = await store.createSession();
  losesMessage = true;
  const { userMessageId } = await store.send(other);
  nowMs += 60 * SECOND;
  await eventually(
    async () => told,
    (ids) => ids.includes(userMessageId),
  );
  erased('gone');
  await store.sweep.stop();
});
