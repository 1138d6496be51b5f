// What `begin` decides from the rows (design 2a.3, 2a.4, 2a.13).
import { sql } from 'kysely';
import { postgresUrl } from '../support/database.ts';
import { failureOf, openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const begin = (sessionId: string, messageId: string, head: string | null) =>
  store.turns.begin({ sessionId, head, messageId, step: 1, mayBranch: true });

describe('a queued message', () => {
  test('joins the head, and its reply is announced and begins', async () => {
    const session = await store.createSession();
    const first = await store.send(session);
    const head = await store.answer(first, null);
    const second = await store.send(session, 'And now?');
    const { reply } = await store.open(second, head);
    expect(await store.messageRow(second.userMessageId)).toMatchObject({
      status: 'completed',
      parent_id: head,
      depth: 3,
    });
    expect(reply).toMatchObject({
      id: second.replyId,
      status: 'in_progress',
      parent_id: second.userMessageId,
      depth: 4,
    });
    expect(await store.sessionRow(session)).toMatchObject({
      head: second.replyId,
      open_reply_id: second.replyId,
      message_count: 4,
    });
    expect(await store.story(session, second.replyId)).toEqual(['created', 'content_started']);
  });

  test('gets a fence that is higher than every fence before it', async () => {
    const session = await store.createSession();
    const first = await store.open(await store.send(session), null);
    await store.turns.complete(writerOf(first), 'Hi', replyOf('Hi'));
    const second = await store.open(await store.send(session), first.reply.id);
    expect(second.fence).toBeGreaterThan(first.fence);
  });

  test('lets a still-queued lower position go first', async () => {
    const session = await store.createSession();
    const first = await store.send(session, 'First');
    const second = await store.send(session, 'Second');
    const begun = await begin(session, second.userMessageId, null);
    expect(begun).toMatchObject({ kind: 'instead', again: true, user: { id: first.userMessageId } });
    expect(await store.messageRow(second.userMessageId)).toMatchObject({ status: 'queued' });
    const head = await store.answer(first, null);
    expect(await begin(session, second.userMessageId, head)).toMatchObject({ kind: 'open' });
  });

  test('says the same when its step is retried, and opens nothing', async () => {
    const session = await store.createSession();
    const first = await store.send(session, 'First');
    const second = await store.send(session, 'Second');
    for (const attempt of [1, 2, 3])
      expect({ attempt, ...(await begin(session, second.userMessageId, null)) }).toMatchObject({
        kind: 'instead',
        user: { id: first.userMessageId },
      });
    expect(await store.sessionRow(session)).toMatchObject({ open_reply_id: null, head: null });
  });

  test('closes a reply that was left open on a branch that its workflow forgot', async () => {
    const session = await store.createSession();
    const head = await store.answer(await store.send(session), null);
    const lost = await store.open(await store.send(session, 'Lost'), head);
    await store.turns.appendText(writerOf(lost), 'Half a');
    const next = await store.send(session, 'After the reset');
    await store.open(next, head);
    expect(await store.messageRow(lost.reply.id)).toMatchObject({ status: 'interrupted', text: 'Half a' });
    expect(await store.sessionRow(session)).toMatchObject({
      open_reply_id: next.replyId,
      head: next.replyId,
    });
    expect(await store.turns.complete(writerOf(lost), '', replyOf('Half a'))).toBeUndefined();
  });
});

describe('a retried step', () => {
  test('that had streamed is withdrawn by a reset', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    const first = await store.open(message, null);
    await store.turns.appendText(writerOf(first), 'Hello th');
    const second = await store.open(message, null);
    expect(second.reply.id).toBe(message.replyId);
    await store.turns.appendText(writerOf(second), 'Hi');
    await store.turns.complete(writerOf(second), ' there', replyOf('Hi there'));
    expect(await store.story(session, message.replyId)).toEqual([
      ...['created', 'content_started', 'delta', 'reset', 'delta', 'delta'],
      ...['content_ended', 'completed'],
    ]);
  });

  test('that had not streamed, or was withdrawn before, is not withdrawn', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    await store.open(message, null);
    const second = await store.open(message, null);
    await store.turns.appendText(writerOf(second), 'Hello');
    await store.open(message, null);
    await store.open(message, null);
    expect(await store.story(session, message.replyId)).toEqual([
      'created',
      'content_started',
      'delta',
      'reset',
    ]);
  });
});

describe('an answered message', () => {
  test('is adopted on the same head, as often as asked, without another call', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    await store.answer(message, null, 'Once');
    const before = await store.events(session);
    for (let time = 0; time < 3; time += 1)
      expect(await begin(session, message.userMessageId, null)).toMatchObject({
        kind: 'settled',
        head: message.replyId,
        reply: { id: message.replyId, text: 'Once' },
      });
    expect(await store.events(session)).toEqual(before);
  });

  test('is adopted with what it came to: interrupted and failed replies too', async () => {
    const session = await store.createSession();
    const stopped = await store.send(session);
    await store.open(stopped, null);
    await store.turns.interrupt({ sessionId: session, head: null, replyId: stopped.replyId });
    expect(await begin(session, stopped.userMessageId, null)).toMatchObject({
      kind: 'settled',
      reply: { status: 'interrupted' },
    });
    const failed = await store.send(session);
    const step = await store.open(failed, stopped.replyId);
    await store.turns.failStep(writerOf(step), failureOf({ retryable: false }));
    expect(await begin(session, failed.userMessageId, stopped.replyId)).toMatchObject({
      kind: 'settled',
      reply: { status: 'failed' },
    });
  });

  test('that lies further back on the branch is not answered again, and the head stays', async () => {
    const session = await store.createSession();
    const first = await store.send(session);
    let head = await store.answer(first, null);
    for (const text of ['Two', 'Three']) head = await store.answer(await store.send(session, text), head);
    const before = await store.events(session);
    expect(await begin(session, first.userMessageId, head)).toMatchObject({
      kind: 'settled',
      head,
      reply: { id: first.replyId },
    });
    expect(await store.events(session)).toEqual(before);
  });

  test('on another head is copied there, and what was written on the other head stays', async () => {
    const session = await store.createSession();
    const first = await store.send(session, 'First');
    const head = await store.answer(first, null);
    const second = await store.send(session, 'Second', { max_tokens: 77 });
    await store.answer(second, head, 'On the first branch');
    const third = await store.send(session, 'Third');
    const branch = await store.answer(third, head, 'On the second branch');

    const copied = await begin(session, second.userMessageId, branch);
    if (copied.kind !== 'instead') throw new Error(copied.kind);
    expect(copied).toMatchObject({ again: false, user: { text: 'Second', copy_of: second.userMessageId } });
    const replyId = copied.user.reply_id ?? '';
    const copy = { ...second, userMessageId: copied.user.id, replyId };
    await store.answer(copy, branch, 'Once more');

    expect((await store.rows.branch(replyId)).map((row) => row.text)).toEqual(
      ['First', 'Hi', 'Third', 'On the second branch', 'Second', 'Once more'].reverse(),
    );
    expect(await store.messageRow(copied.user.id)).toMatchObject({ turn_options: '{"max_tokens":77}' });
    expect(await store.messageRow(second.replyId)).toMatchObject({
      status: 'completed',
      text: 'On the first branch',
      parent_id: second.userMessageId,
    });
    expect(await store.story(session, copied.user.id)).toEqual(['created']);
  });

  test('on another head is copied once, however often its step is retried', async () => {
    const session = await store.createSession();
    const first = await store.send(session, 'First');
    await store.answer(first, null);
    const other = await store.send(session, 'Other');
    const head = await store.answer(other, null);
    const attempts = [];
    for (let time = 0; time < 3; time += 1) attempts.push(await begin(session, first.userMessageId, head));
    expect(new Set(attempts.map((begun) => begun.kind === 'instead' && begun.user.id)).size).toBe(1);
    const [copied] = attempts;
    if (copied?.kind !== 'instead') throw new Error(copied?.kind);
    const copy = { ...first, userMessageId: copied.user.id, replyId: copied.user.reply_id ?? '' };
    await store.answer(copy, head);
    expect(await begin(session, first.userMessageId, head)).toMatchObject({
      kind: 'instead',
      again: false,
      user: { id: copied.user.id },
    });
  });

  test('whose reply was open on another head is interrupted there before it is copied', async () => {
    const session = await store.createSession();
    const first = await store.send(session, 'First');
    const head = await store.answer(first, null);
    const open = await store.open(await store.send(session, 'Second'), head);
    await store.turns.appendText(writerOf(open), 'Half');
    expect(await begin(session, open.user.id, null)).toMatchObject({ kind: 'instead', again: false });
    expect(await store.messageRow(open.reply.id)).toMatchObject({ status: 'interrupted', text: 'Half' });
    expect(await store.turns.appendText(writerOf(open), ' a')).toBe(false);
  });
});

describe('an interrupted message', () => {
  test('is not answered on another head: nobody wants its answer', async () => {
    const session = await store.createSession();
    const message = await store.send(session, 'Never mind');
    await store.sessions.interrupt(store.caller, session);
    const other = await store.answer(await store.send(session, 'Other'), null);
    const before = await store.events(session);
    expect(await begin(session, message.userMessageId, other)).toMatchObject({
      kind: 'settled',
      head: other,
    });
    expect(await store.events(session)).toEqual(before);
  });
});

describe('a run that may be over already', () => {
  const late = (sessionId: string, messageId: string, head: string | null) =>
    store.turns.begin({ sessionId, head, messageId, step: 1 });

  test('does not move the branch from a head that it has left', async () => {
    const session = await store.createSession();
    const head = await store.answer(await store.send(session), null);
    const queued = await store.send(session, 'Two');
    const before = await store.events(session);
    expect(await late(session, queued.userMessageId, null)).toEqual({ kind: 'behind' });
    expect(await store.events(session)).toEqual(before);
    expect(await late(session, queued.userMessageId, head)).toMatchObject({ kind: 'open' });
  });

  test('does not have a message answered again that was answered since', async () => {
    const session = await store.createSession();
    const [one, two] = [await store.send(session, 'One'), await store.send(session, 'Two')];
    const head = await store.answer(two, await store.answer(one, null));
    const before = await store.events(session);
    expect(await late(session, two.userMessageId, null)).toEqual({ kind: 'behind' });
    expect(await store.events(session)).toEqual(before);
    expect(await store.rows.countQueued(session)).toBe(0);
    expect((await store.sessionRow(session)).head).toBe(head);
  });

  test('finds what is recorded, and tries an open step again, where it left them', async () => {
    const session = await store.createSession();
    const one = await store.send(session, 'One');
    expect(await late(session, one.userMessageId, null)).toMatchObject({ kind: 'open' });
    expect(await late(session, one.userMessageId, null)).toMatchObject({ kind: 'open' });
    await store.turns.interrupt({ sessionId: session, head: null, replyId: one.replyId });
    expect(await late(session, one.userMessageId, null)).toMatchObject({ kind: 'settled' });
  });
});

describe('nothing is begun', () => {
  test('for a message that does not exist', async () => {
    const session = await store.createSession();
    expect(await begin(session, 'msg_unknown', null)).toEqual({ kind: 'gone' });
  });

  test('in a session that does not exist', async () => {
    expect(await begin('sess_unknown', 'msg_unknown', null)).toEqual({ kind: 'gone' });
  });

  test.each(['complete', 'archive', 'delete'] as const)('after %s of the session', async (end) => {
    const session = await store.createSession();
    const answered = await store.send(session);
    await store.answer(answered, null);
    const queued = await store.send(session);
    await store.sessions[end](store.caller, session);
    for (const message of [answered, queued])
      expect(await begin(session, message.userMessageId, null)).toEqual({ kind: 'gone' });
  });
});

describe('a reply that ends where a step begins, though the store refuses its text', () => {
  const MARK = 'UNSTORABLE';

  /** A reply with the mark in its log, and its session. */
  async function marked() {
    const session = await store.createSession();
    const message = await store.send(session);
    await store.turns.appendText(writerOf(await store.open(message, null)), `Half ${MARK}`);
    return { session, message };
  }
  beforeEach(() =>
    sql
      .raw(
        `create trigger refuse before update on messages when new.text like '%${MARK}%'
         begin select raise(abort, 'CHECK'); end`,
      )
      .execute(store.db),
  );
  afterEach(() => sql.raw('drop trigger refuse').execute(store.db));

  const ofSqlite = postgresUrl === null ? test : test.skip;

  ofSqlite('keeps its complete steps when its turn lies on a forgotten branch', async () => {
    const { session, message } = await marked();
    const next = await store.send(session, 'After the reset');
    expect(await begin(session, next.userMessageId, null)).toMatchObject({ kind: 'open' });
    expect(await store.messageRow(message.replyId)).toMatchObject({ status: 'interrupted', text: '' });
    expect((await store.story(session, message.replyId)).slice(-2)).toEqual(['reset', 'interrupted']);
  });

  ofSqlite('keeps its complete steps when its message goes on elsewhere', async () => {
    const session = await store.createSession();
    const head = await store.answer(await store.send(session), null);
    const message = await store.send(session, 'Second');
    await store.turns.appendText(writerOf(await store.open(message, head)), MARK);
    expect(await begin(session, message.userMessageId, null)).toMatchObject({ kind: 'instead' });
    expect(await store.messageRow(message.replyId)).toMatchObject({ status: 'interrupted', text: '' });
  });

  ofSqlite.each([
    ['is steered', 2, { status: 'completed', stop_reason: 'steered' }],
    ['has had too many steps', 1_001, { status: 'failed', error: expect.stringContaining('tool_limit') }],
  ])('keeps its complete steps when it %s', async (_name, step, closed) => {
    const { session, message } = await marked();
    if (step === 2) await store.send(session, 'And this', { on_busy: 'steer' });
    const input = { sessionId: session, head: null, messageId: message.userMessageId, step };
    expect(await store.turns.begin(input)).toMatchObject({ kind: 'settled' });
    expect(await store.messageRow(message.replyId)).toMatchObject({ ...closed, text: '' });
  });
});
