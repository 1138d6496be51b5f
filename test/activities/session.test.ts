// What the session workflow is told by the store's short steps.
import { createSessionActivities } from '../../activities/session.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

let nowMs = Date.parse('2026-03-01T12:00:00Z');
let store: TestStore;
let activities: ReturnType<typeof createSessionActivities>;
beforeAll(async () => {
  store = await openTestStore({ now: () => nowMs });
  const { turns, log, rows: messages } = store;
  const { hasPendingDeliveries } = store.sending;
  activities = createSessionActivities({ turns, log, messages, hasPendingDeliveries, showPreviews: true });
});
afterAll(() => store.close());

const interrupt = (sessionId: string, replyId: string, head: string | null) =>
  activities.interrupt({ sessionId, replyId, head });

describe('an interrupt', () => {
  test('goes on from the reply that it has closed', async () => {
    const session = await store.createSession();
    const head = await store.answer(await store.send(session), null);
    const open = await store.send(session);
    await store.open(open, head);
    expect(await interrupt(session, open.replyId, head)).toMatchObject({
      ...{ kind: 'settled', status: 'interrupted', replyId: open.replyId, head: open.replyId },
    });
  });

  test('that comes too late goes on from what was answered on this head', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    await store.answer(message, null);
    expect(await interrupt(session, message.replyId, null)).toMatchObject({
      ...{ status: 'completed', head: message.replyId },
    });
  });

  test('of a reply further back on the branch does not go back to it', async () => {
    const session = await store.createSession();
    const first = await store.send(session);
    const head = await store.answer(await store.send(session, 'Second'), await store.answer(first, null));
    expect(await interrupt(session, first.replyId, head)).toMatchObject({ status: 'completed', head });
  });

  test('goes on from the reply it has closed, also behind one that the workflow never heard of', async () => {
    for (const hasBegun of [true, false]) {
      const session = await store.createSession();
      const head = await store.answer(await store.send(session), null);
      const unheard = await store.send(session, 'Its word was lost');
      const next = await store.send(session, 'Rather this', { on_busy: 'interrupt' });
      if (hasBegun) await store.open(next, head);
      expect(await interrupt(session, next.replyId, head)).toMatchObject({
        ...{ kind: 'settled', status: 'interrupted', head: next.replyId },
      });
      expect(await store.messageRow(next.userMessageId)).toMatchObject({ parent_id: unheard.replyId });
    }
  });

  test('of a reply that others come before says which is first', async () => {
    const session = await store.createSession();
    const [first, second] = [await store.send(session, 'First'), await store.send(session, 'Second')];
    expect(await interrupt(session, second.replyId, null)).toEqual({
      ...{ kind: 'instead', again: true },
      message: { messageId: first.userMessageId, replyId: first.replyId, position: 1, preview: 'First' },
    });
  });

  test('of an unknown reply, or in a session that is gone, has nothing to say', async () => {
    const session = await store.createSession();
    expect(await interrupt(session, 'msg_unknown', null)).toEqual({ kind: 'gone' });
    expect(await interrupt('sess_unknown', 'msg_unknown', null)).toEqual({ kind: 'gone' });
  });
});

test('a reply that fails says why, in a preview', async () => {
  const session = await store.createSession();
  const message = await store.send(session);
  await store.open(message, null);
  const input = { sessionId: session, head: null, replyId: message.replyId };
  expect(await activities.failReply({ ...input, reason: 'No worker for a day' })).toMatchObject({
    ...{ status: 'failed', preview: 'No worker for a day', head: message.replyId },
  });
});

describe('an expiry', () => {
  test('that is not due yet says when it will be', async () => {
    const session = await store.createSession({ expires_after_seconds: 60 });
    expect(await activities.expire({ sessionId: session, nowMs })).toEqual({
      ...{ ended: null, expiresAtMs: nowMs + 60_000 },
    });
  });

  test('that is due ends the session; one that had ended says how', async () => {
    const session = await store.createSession({ expires_after_seconds: 60 });
    nowMs += 60_000;
    expect(await activities.expire({ sessionId: session, nowMs })).toEqual({ ended: 'expired' });
    const archived = await store.createSession();
    await store.sessions.archive(store.caller, archived);
    expect(await activities.expire({ sessionId: archived, nowMs })).toEqual({ ended: 'archived' });
    expect(await activities.expire({ sessionId: 'sess_unknown', nowMs })).toEqual({ ended: 'deleted' });
  });

  test('that is put off by a message does not ask again', async () => {
    const session = await store.createSession({ expires_after_seconds: 60 });
    await store.send(session);
    nowMs += 3_600_000;
    expect(await activities.expire({ sessionId: session, nowMs })).toEqual({
      ended: null,
      expiresAtMs: null,
    });
  });
});

test('the snapshot of an unknown session lets its workflow end', async () => {
  expect(await activities.snapshot({ sessionId: 'sess_unknown' })).toMatchObject({
    ended: 'deleted',
    queue: [],
  });
});
