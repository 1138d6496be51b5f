// How replies and sessions end in the store (design 2a.6, 2a.14).
import { openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
let clockMs = Date.parse('2026-03-01T12:00:00Z');
beforeAll(async () => {
  store = await openTestStore({ now: () => clockMs });
});
afterAll(() => store.close());

/** The reply as it is after the interrupt, or what goes first. */
async function interrupt(sessionId: string, replyId: string, head: string | null = null) {
  const closed = await store.turns.interrupt({ sessionId, head, replyId });
  return closed?.kind === 'closed' ? closed.reply : closed;
}

describe('interrupting', () => {
  test('closes the reply with the text that its readers already have', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    const first = writerOf(await store.open(message, null));
    await store.turns.appendText(first, 'Withdrawn');
    const writer = writerOf(await store.open(message, null));
    await store.turns.appendText(writer, 'Half an ');
    await store.turns.appendText(writer, 'answer');
    const reply = await interrupt(session, message.replyId);
    expect(reply).toMatchObject({
      status: 'interrupted',
      stop_reason: 'interrupted',
      text: 'Half an answer',
      blocks: JSON.stringify([{ type: 'text', text: 'Half an answer' }]),
      error: null,
    });
    expect(await store.messageRow(message.replyId)).toEqual(reply);
    expect(await store.turns.appendText(writer, '!')).toBe(false);
    expect(await store.turns.complete(writer, '!', replyOf('Half an answer!'))).toBeUndefined();
    expect((await store.story(session, message.replyId)).slice(-2)).toEqual(['delta', 'interrupted']);
    expect(await store.sessionRow(session)).toMatchObject({ open_reply_id: null, head: message.replyId });
  });

  test('before the first word leaves an empty reply', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    await store.open(message, null);
    expect(await interrupt(session, message.replyId)).toMatchObject({ text: '', blocks: '[]' });
  });

  test('a queued reply gives the message its turn and ends it there', async () => {
    const session = await store.createSession();
    const head = await store.answer(await store.send(session), null);
    const message = await store.send(session, 'Never mind');
    expect(await interrupt(session, message.replyId, head)).toMatchObject({
      status: 'interrupted',
      parent_id: message.userMessageId,
    });
    expect(await store.messageRow(message.userMessageId)).toMatchObject({
      status: 'completed',
      parent_id: head,
    });
    expect(await store.story(session, message.replyId)).toEqual(['created', 'interrupted']);
    expect(
      await store.turns.begin({ sessionId: session, head, messageId: message.userMessageId, step: 1 }),
    ).toMatchObject({
      kind: 'settled',
      reply: { status: 'interrupted' },
    });
  });

  test('a queued reply waits for the messages that were accepted before it', async () => {
    const session = await store.createSession();
    const [first, second] = [await store.send(session, 'First'), await store.send(session, 'Second')];
    const before = await store.events(session);
    expect(await interrupt(session, second.replyId)).toMatchObject({
      ...{ kind: 'instead', user: { id: first.userMessageId } },
    });
    expect(await store.events(session)).toEqual(before);
    const head = await store.answer(first, null);
    expect(await interrupt(session, second.replyId, head)).toMatchObject({ status: 'interrupted' });
  });

  test('names a reply, and one that has ended is left as it is', async () => {
    const session = await store.createSession();
    const first = await store.send(session);
    const head = await store.answer(first, null);
    const second = await store.open(await store.send(session), head);
    const before = await store.events(session);
    expect(await interrupt(session, first.replyId)).toMatchObject({ status: 'completed' });
    expect(await interrupt(session, 'msg_unknown')).toBeUndefined();
    expect(await store.events(session)).toEqual(before);
    expect(await store.messageRow(second.reply.id)).toMatchObject({ status: 'in_progress' });
    expect(await store.turns.appendText(writerOf(second), 'Still here')).toBe(true);
  });

  test('twice is once', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    await store.open(message, null);
    const replies = await Promise.all([1, 2, 3].map(() => interrupt(session, message.replyId)));
    expect(new Set(replies.map((reply) => JSON.stringify(reply))).size).toBe(1);
    expect(
      (await store.story(session, message.replyId)).filter((type) => type === 'interrupted'),
    ).toHaveLength(1);
  });

  test('always comes to an end of the reply, also while another branch left one open', async () => {
    const session = await store.createSession();
    const forgotten = await store.open(await store.send(session), null);
    const message = await store.send(session);
    expect(await interrupt(session, message.replyId)).toMatchObject({ status: 'interrupted' });
    expect(await store.messageRow(forgotten.reply.id)).toMatchObject({ status: 'interrupted' });
    expect(await store.sessionRow(session)).toMatchObject({ open_reply_id: null, head: message.replyId });
  });

  test('and completing at once: the first wins, and there is one end', async () => {
    for (let round = 0; round < 10; round += 1) {
      const session = await store.createSession();
      const message = await store.send(session);
      const writer = writerOf(await store.open(message, null));
      const ways = [
        () => interrupt(session, message.replyId),
        () => store.turns.complete(writer, 'Hi', replyOf('Hi')),
      ];
      await Promise.all((round % 2 ? ways : ways.reverse()).map((end) => end()));
      const ends = (await store.story(session, message.replyId)).filter((type) =>
        /interrupted|completed/.test(type),
      );
      expect(ends).toEqual([(await store.messageRow(message.replyId)).status]);
    }
  });
});

describe('failing a reply that the store knows to be open', () => {
  test('tells readers the error and then the end', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    await store.open(message, null);
    await store.turns.fail(
      { sessionId: session, head: null, replyId: message.replyId },
      'no worker for a day',
    );
    expect(await store.story(session, message.replyId)).toEqual([
      ...['created', 'content_started', 'error.occurred', 'failed'],
    ]);
    expect(JSON.parse((await store.messageRow(message.replyId)).error ?? '')).toMatchObject({
      code: 'internal_error',
      message: 'no worker for a day',
    });
  });
});

describe('ending a session', () => {
  test('interrupts the open reply, fails what is queued, and is the last word', async () => {
    const session = await store.createSession();
    const open = await store.open(await store.send(session), null);
    await store.turns.appendText(writerOf(open), 'Half');
    const queued = [await store.send(session, 'Two'), await store.send(session, 'Three')];
    const ended = await store.sessions.complete(store.caller, session);
    expect(ended).toMatchObject({ status: 'completed', ended_reason: 'completed' });
    expect(await store.messageRow(open.reply.id)).toMatchObject({ status: 'interrupted', text: 'Half' });
    for (const message of queued)
      for (const id of [message.userMessageId, message.replyId])
        expect(await store.messageRow(id)).toMatchObject({
          status: 'failed',
          error: expect.stringContaining('session_ended'),
        });
    expect(await store.turns.complete(writerOf(open), '', replyOf('Half'))).toBeUndefined();
    const types = (await store.events(session)).map((event) => event.type);
    expect(types.slice(-6)).toEqual([
      'message.interrupted',
      ...Array(4).fill('message.failed'),
      'session.ended',
    ]);
  });

  test('twice is once; completed can still be archived, and keeps when and why it ended', async () => {
    const session = await store.createSession();
    await store.sessions.complete(store.caller, session);
    const { ended_at } = await store.sessionRow(session);
    clockMs += 5_000;
    await store.sessions.complete(store.caller, session);
    await store.sessions.archive(store.caller, session);
    await store.sessions.archive(store.caller, session);
    await store.sessions.complete(store.caller, session);
    expect(await store.sessionRow(session)).toMatchObject({
      status: 'archived',
      ended_at,
      ended_reason: 'completed',
    });
    const ended = (await store.events(session)).filter((event) => event.type === 'session.ended');
    expect(ended).toMatchObject([{ data: { reason: 'completed' } }]);
  });

  test('refuses messages from then on, whoever was first', async () => {
    for (let round = 0; round < 10; round += 1) {
      const session = await store.createSession();
      const sending = Promise.allSettled([1, 2, 3].map((n) => store.send(session, `${n}`)));
      await store.sessions.complete(store.caller, session);
      await sending;
      const statuses = (
        await store.db.selectFrom('messages').selectAll().where('session_id', '=', session).execute()
      ).map((row) => row.status);
      expect(statuses.filter((status) => status !== 'failed')).toEqual([]);
      await expect(store.send(session)).rejects.toMatchObject({ code: 'session_ended' });
    }
  });

  test('by deletion leaves a tombstone that late writers, signals and readers meet as gone', async () => {
    const session = await store.createSession({ system_prompt: 'Secret', metadata: { a: 'b' } });
    const message = await store.send(session, 'Secret too');
    const writer = writerOf(await store.open(message, null));
    await store.turns.appendText(writer, 'Secret as well');
    await store.sessions.delete(store.caller, session);

    expect(await store.turns.appendText(writer, 'late')).toBe(false);
    expect(await store.turns.complete(writer, 'late', replyOf('late'))).toBeUndefined();
    expect(await store.open(message, null).catch((error: Error) => error.message)).toBe(
      'Not opened but gone',
    );
    expect(await interrupt(session, message.replyId)).toBeUndefined();
    expect(await store.turns.snapshot(session, true)).toMatchObject({
      ended: 'deleted',
      queue: [],
      open: null,
    });
    await expect(store.send(session)).rejects.toMatchObject({ code: 'not_found' });
    await expect(store.sessions.delete(store.caller, session)).rejects.toMatchObject({ code: 'not_found' });
    for (const table of ['messages', 'events', 'steps', 'session_metadata'] as const)
      expect(
        await store.db.selectFrom(table).selectAll().where('session_id', '=', session).execute(),
      ).toEqual([]);
    expect(JSON.stringify(await store.sessionRow(session))).not.toMatch(/Secret/);
  });
});

describe('expiring', () => {
  const expire = (session: string) => store.turns.expire(session, clockMs);

  test('ends an idle session at its deadline and not before', async () => {
    const session = await store.createSession({ expires_after_seconds: 60 });
    clockMs += 59_999;
    expect(await expire(session)).toMatchObject({ status: 'active' });
    clockMs += 1;
    expect(await expire(session)).toMatchObject({
      status: 'completed',
      ended_reason: 'expired',
      expires_at: null,
    });
    await expire(session);
    expect((await store.events(session)).filter((event) => event.type === 'session.ended')).toMatchObject([
      { data: { reason: 'expired' } },
    ]);
  });

  test('spares a session without a deadline, one that answers and one that has something to answer', async () => {
    const forever = await store.createSession();
    const queued = await store.createSession({ expires_after_seconds: 60 });
    await store.send(queued);
    const answering = await store.createSession({ expires_after_seconds: 60 });
    await store.open(await store.send(answering), null);
    clockMs += 3_600_000;
    for (const session of [forever, queued, answering])
      expect(await expire(session)).toMatchObject({ status: 'active' });
  });

  test('counts from the end of the last turn, however it ended', async () => {
    const session = await store.createSession({ expires_after_seconds: 60 });
    const message = await store.send(session);
    await store.open(message, null);
    clockMs += 3_600_000;
    await interrupt(session, message.replyId);
    expect((await store.sessionRow(session)).expires_at).toBe(clockMs + 60_000);
    clockMs += 30_000;
    const head = message.replyId;
    await store.answer(await store.send(session), head);
    expect((await store.sessionRow(session)).expires_at).toBe(clockMs + 60_000);
  });

  test('and a message at once: one of the two wins, never half of each', async () => {
    for (let round = 0; round < 10; round += 1) {
      const session = await store.createSession({ expires_after_seconds: 60 });
      clockMs += 60_000;
      const ways: (() => Promise<unknown>)[] = [() => expire(session), () => store.send(session)];
      const [first, second] = round % 2 ? ways : [...ways].reverse();
      await Promise.allSettled([first?.(), second?.()]);
      const { status } = await store.sessionRow(session);
      expect(await store.rows.countQueued(session)).toBe(status === 'active' ? 1 : 0);
    }
  });
});
