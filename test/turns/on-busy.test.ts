// What a message does to a session that is busy: decided in the transaction that accepts it (design 2a.2, 2a.6).
import type { OnBusy } from '../../src/contracts/messages.ts';
import type { Engine } from '../../src/services/engine.ts';
import { QUEUE_MAX } from '../../src/services/messages/acceptance.ts';
import type { AcceptedMessage } from '../../src/services/ports.ts';
import { openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const send = (session: string, on_busy: OnBusy, text = 'Rather this') =>
  store.send(session, text, { on_busy });

const statusOf = async ({ replyId }: AcceptedMessage) => (await store.messageRow(replyId)).status;

/** A session whose reply has said half of what it had to say. */
async function speaking() {
  const session = await store.createSession();
  const message = await store.send(session, 'Tell me all');
  const writer = writerOf(await store.open(message, null));
  await store.turns.appendText(writer, 'Half');
  return { session, message, writer };
}

describe('a message that interrupts', () => {
  test('ends the open reply with its text, and then it is accepted', async () => {
    const { session, message, writer } = await speaking();
    const next = await send(session, 'interrupt');
    expect(await store.messageRow(message.replyId)).toMatchObject({
      ...{ status: 'interrupted', stop_reason: 'interrupted', text: 'Half' },
    });
    const last = (await store.events(session)).slice(-2);
    expect(last.map(({ type, message_id }) => [type, message_id])).toEqual([
      ['message.interrupted', message.replyId],
      ['message.created', next.userMessageId],
    ]);
    expect(await store.turns.appendText(writer, ' a word')).toBe(false);
    expect(await store.turns.complete(writer, '', replyOf('Half'))).toBeUndefined();
    expect(await store.answer(next, message.replyId)).toBe(next.replyId);
  });

  test('does so because its session is set to, and a message may say otherwise', async () => {
    const session = await store.createSession({ on_busy: 'interrupt' });
    const first = await store.send(session);
    await store.open(first, null);
    await send(session, 'queue');
    expect(await statusOf(first)).toBe('in_progress');
    await store.send(session);
    expect(await statusOf(first)).toBe('interrupted');
  });

  test('follows the message that it stopped, also when the workflow never heard of that one', async () => {
    const session = await store.createSession();
    const head = await store.answer(await store.send(session), null);
    const unheard = await store.send(session, 'Its word was lost');
    const next = await send(session, 'interrupt');
    const input = { sessionId: session, head, messageId: next.userMessageId, step: 1, mayBranch: true };
    for (const attempt of ['first', 'another']) {
      const begun = await store.turns.begin(input);
      expect([attempt, begun.kind, begun.kind === 'open' && begun.reply.id]).toEqual([
        attempt,
        'open',
        next.replyId,
      ]);
    }
    expect(await store.messageRow(next.userMessageId)).toMatchObject({ parent_id: unheard.replyId });
  });

  test('interrupts nothing in a session that is idle', async () => {
    const session = await store.createSession();
    const head = await store.answer(await store.send(session), null);
    const before = await store.events(session);
    const message = await send(session, 'interrupt');
    expect((await store.events(session)).slice(before.length)).toMatchObject([{ type: 'message.created' }]);
    expect(await store.messageRow(message.userMessageId)).toMatchObject({ interrupts_reply_id: null });
    expect(await store.answer(message, head)).toBe(message.replyId);
  });

  test('ends a turn that has not begun as well: whether it has is not for clients to know', async () => {
    const session = await store.createSession();
    const head = await store.answer(await store.send(session), null);
    const waiting = await store.send(session, 'Never mind');
    await send(session, 'interrupt');
    expect(await store.messageRow(waiting.userMessageId)).toMatchObject({
      status: 'completed',
      parent_id: head,
    });
    expect(await store.messageRow(waiting.replyId)).toMatchObject({ status: 'interrupted', text: '' });
    expect(await store.story(session, waiting.replyId)).toEqual(['created', 'interrupted']);
  });

  test('leaves those that wait their turns; a second one ends the turn of the first of them', async () => {
    const { session, message } = await speaking();
    const [second, third] = [await store.send(session, 'Second'), await store.send(session, 'Third')];
    const next = await send(session, 'interrupt');
    const statuses = () => Promise.all([message, second, third, next].map(statusOf));
    expect(await statuses()).toEqual(['interrupted', 'queued', 'queued', 'queued']);
    await send(session, 'interrupt');
    expect(await statuses()).toEqual(['interrupted', 'interrupted', 'queued', 'queued']);
    const head = await store.answer(third, second.replyId);
    expect(await store.answer(next, head)).toBe(next.replyId);
  });

  test('that is sent again with its key interrupts nothing more', async () => {
    const { session, message } = await speaking();
    const idempotency = { key: 'once', route: `POST ${session}`, fingerprint: 'the same' };
    const body = { content: 'Rather this', on_busy: 'interrupt' } as const;
    const { value: next } = await store.messages.accept(store.caller, session, body, idempotency);
    await store.open(next, message.replyId);
    const before = await store.events(session);
    const again = await store.messages.accept(store.caller, session, body, idempotency);
    expect(again).toMatchObject({ value: { replyId: next.replyId }, replayed: true });
    expect(await store.events(session)).toEqual(before);
    expect(await statusOf(next)).toBe('in_progress');
  });

  test('that is refused has interrupted nothing', async () => {
    const { session, message, writer } = await speaking();
    for (let n = 0; n < QUEUE_MAX; n += 1) await store.send(session, `${n}`);
    const before = await store.events(session);
    await expect(send(session, 'interrupt')).rejects.toMatchObject({ code: 'queue_full' });
    expect(await store.events(session)).toEqual(before);
    expect(await statusOf(message)).toBe('in_progress');
    expect(await store.turns.appendText(writer, ' a word')).toBe(true);
  });

  test('and an answer that completes at once: the reply has one end, whoever was first', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { session, message, writer } = await speaking();
      const ways: (() => Promise<unknown>)[] = [
        () => send(session, 'interrupt'),
        () => store.turns.complete(writer, '', replyOf('Half')),
      ];
      await Promise.all((round % 2 ? ways : ways.reverse()).map((way) => way()));
      const ends = (await store.story(session, message.replyId)).filter((type) => /ed$/.test(type));
      expect(ends.slice(1).filter((type) => /interrupted|completed/.test(type))).toEqual([
        await statusOf(message),
      ]);
    }
  });

  test('is told to its workflow together with the reply that it has ended', async () => {
    const told: unknown[] = [];
    const signal: Engine['signal'] = async (name, _, argument) => {
      if (name === 'message') told.push(argument);
    };
    const own = await openTestStore({ engine: { signal } });
    const session = await own.createSession();
    const first = await own.send(session, 'First');
    await own.open(first, null);
    const next = await own.send(session, 'Next', { on_busy: 'interrupt' });
    expect(told).toMatchObject([
      { messageId: first.userMessageId },
      { messageId: next.userMessageId, interrupts: first.replyId },
    ]);
    expect(told[0]).not.toHaveProperty('interrupts');
    await own.close();
  });
});

describe('a message that steers', () => {
  /** The next step of an open reply: its last one is complete, with whatever it had asked for. */
  const nextStep = (session: string, messageId: string, step = 2) =>
    store.turns.begin({ sessionId: session, head: null, messageId, step });

  test('ends the reply at the edge of its step, with all that it had said', async () => {
    const { session, message, writer } = await speaking();
    const next = await send(session, 'steer');
    expect(await store.turns.appendText(writer, ' and half')).toBe(true);
    const begun = await nextStep(session, message.userMessageId);
    expect(begun).toMatchObject({ kind: 'settled', head: message.replyId });
    expect(await store.messageRow(message.replyId)).toMatchObject({
      ...{ status: 'completed', stop_reason: 'steered', text: 'Half and half', error: null },
    });
    expect((await store.story(session, message.replyId)).at(-1)).toBe('completed');
    expect(await store.answer(next, message.replyId)).toBe(next.replyId);
  });

  test('leaves a step alone that has begun, and each try of it', async () => {
    const { session, message } = await speaking();
    await send(session, 'steer');
    expect(await nextStep(session, message.userMessageId, 1)).toMatchObject({ kind: 'open' });
    const other = await speaking();
    const second = await nextStep(other.session, other.message.userMessageId);
    if (second.kind !== 'open') throw new Error(second.kind);
    await store.turns.appendText(writerOf(second), 'More');
    await send(other.session, 'steer');
    expect(await nextStep(other.session, other.message.userMessageId)).toMatchObject({ kind: 'open' });
    expect(await nextStep(other.session, other.message.userMessageId, 3)).toMatchObject({ kind: 'settled' });
  });

  test('is a turn like any other when no further step comes', async () => {
    const { session, message, writer } = await speaking();
    const next = await send(session, 'steer');
    await store.turns.complete(writer, '', replyOf('Half'));
    expect(await store.messageRow(message.replyId)).toMatchObject({ stop_reason: 'end_turn' });
    expect(await store.open(next, message.replyId)).toMatchObject({ kind: 'open' });
  });

  test('means the reply of its time, and no later one', async () => {
    const { session, message, writer } = await speaking();
    const queued = await store.send(session, 'Second');
    await send(session, 'steer');
    await store.turns.complete(writer, '', replyOf('Half'));
    await store.open(queued, message.replyId);
    const begun = await store.turns.begin({
      ...{ sessionId: session, head: message.replyId, messageId: queued.userMessageId, step: 2 },
    });
    expect(begun).toMatchObject({ kind: 'open', reply: { id: queued.replyId } });
  });

  test('ends nothing while it only waits with others that do not', async () => {
    const { session, message } = await speaking();
    await send(session, 'queue');
    expect(await nextStep(session, message.userMessageId)).toMatchObject({ kind: 'open', step: 2 });
  });
});

describe('interrupting a session', () => {
  const interrupt = (session: string) => store.sessions.interrupt(store.caller, session);

  test('is answered with the reply as it ended, though nobody works on it', async () => {
    const { session, message } = await speaking();
    const answer = await interrupt(session);
    expect(answer).toMatchObject({
      interrupted: true,
      message: { id: message.replyId, status: 'interrupted', content: 'Half' },
    });
    expect(await interrupt(session)).toEqual({ interrupted: true, message: null });
  });

  test('does nothing in one that is idle', async () => {
    const session = await store.createSession();
    await store.answer(await store.send(session), null);
    const before = await store.events(session);
    expect(await interrupt(session)).toEqual({ interrupted: true, message: null });
    expect(await store.events(session)).toEqual(before);
  });

  test('is refused once it has ended', async () => {
    const { session } = await speaking();
    await store.sessions.complete(store.caller, session);
    await expect(interrupt(session)).rejects.toMatchObject({ code: 'session_ended' });
  });
});
