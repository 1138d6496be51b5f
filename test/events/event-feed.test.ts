// The feed: one reader of the log for every stream (design section 2).
import type { SessionEvent } from '../../src/contracts/events.ts';
import { createBell } from '../../src/events/bell.ts';
import { createEventFeed, type FollowQuery } from '../../src/events/event-feed.ts';
import { createLiveChannel, type LiveChannel } from '../../src/events/live-channel.ts';
import type { SessionLog } from '../../src/stores/log.ts';
import { eventually } from '../support/api-client.ts';
import { openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

/** Reads until the given number of events has come, or the feed ends. */
async function take(events: AsyncIterable<SessionEvent>, most = Number.POSITIVE_INFINITY) {
  const taken: SessionEvent[] = [];
  if (most === 0) return taken;
  for await (const event of events) {
    taken.push(event);
    if (taken.length >= most) break;
  }
  return taken;
}

const follow = (sessionId: string, changes: Partial<FollowQuery> = {}) =>
  store.feed.follow({ sessionId, after: 0, signal: new AbortController().signal, ...changes });

const append = (session: string, count: number) =>
  store.log.write(session, async (tx) => {
    for (let n = 0; n < count; n += 1) tx.append('message.delta', null, { step: 1, text: `${n}` });
  });

const numbers = (events: SessionEvent[]) => events.map((event) => event.seq);
const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, n) => n + first);

describe('a follower', () => {
  test('misses nothing and gets nothing twice while many writers append', async () => {
    const session = await store.createSession();
    const following = take(follow(session), 401);
    for (let round = 0; round < 10; round += 1)
      await Promise.all(Array.from({ length: 10 }, (_, n) => append(session, (n % 7) + 1)));
    const { seq } = await store.sessionRow(session);
    await append(session, 401 - seq);
    expect(numbers(await following)).toEqual(upTo(401));
  });

  test('is one of a hundred, each with a cursor of its own', async () => {
    const session = await store.createSession();
    await append(session, 20);
    const followers = Array.from({ length: 100 }, (_, n) =>
      take(follow(session, { after: n % 30 }), 50 - (n % 30)),
    );
    for (let n = 0; n < 29; n += 1) await append(session, 1);
    for (const [n, taken] of (await Promise.all(followers)).entries())
      expect(numbers(taken)).toEqual(upTo(50, (n % 30) + 1));
  });

  test('that starts far behind gets everything, in order', async () => {
    const session = await store.createSession();
    await append(session, 1_000);
    expect(numbers(await take(follow(session), 1_001))).toEqual(upTo(1_001));
  });

  test('that is far behind, and many more, leave all others their turns', async () => {
    const session = await store.createSession();
    await append(session, 1_000);
    let isOver = false;
    let turns = 0;
    const other = (async () => {
      for (; !isOver; turns += 1) await new Promise(setImmediate);
    })();
    await Promise.all(Array.from({ length: 20 }, () => take(follow(session), 1_001)));
    isOver = true;
    await other;
    expect(turns).toBeGreaterThan(50);
  });

  test('gets the next event without waiting for a poll', async () => {
    const session = await store.createSession();
    const events = follow(session, { after: 1 });
    const next = events.next();
    await new Promise(setImmediate);
    await append(session, 1);
    const startedMs = performance.now();
    await next;
    expect(performance.now() - startedMs).toBeLessThan(500);
    await events.return(undefined);
  });

  test('of one message and of some types is shown no other', async () => {
    const session = await store.createSession();
    const first = await store.send(session);
    await store.answer(first, null);
    const second = await store.send(session);
    const writer = writerOf(await store.open(second, first.replyId));
    const ofReply = take(follow(session, { messageId: second.replyId }), 5);
    const deltas = take(follow(session, { types: ['message.delta'] }), 2);
    await store.turns.complete(writer, 'Hi', replyOf('Hi'));
    expect((await ofReply).map((event) => [event.type, event.message_id])).toEqual(
      ['created', 'content_started', 'delta', 'content_ended', 'completed'].map((type) => [
        `message.${type}`,
        second.replyId,
      ]),
    );
    expect((await deltas).map((event) => event.message_id)).toEqual([first.replyId, second.replyId]);
  });

  test('sees no event of another session', async () => {
    const [session, other] = [await store.createSession(), await store.createSession()];
    const following = take(follow(session), 3);
    await append(other, 5);
    await append(session, 2);
    expect(new Set((await following).map((event) => event.session_id))).toEqual(new Set([session]));
  });
});

describe('the end of following', () => {
  test('comes promptly with an abort, without an error, while it waits', async () => {
    const session = await store.createSession();
    const controller = new AbortController();
    const following = follow(session, { signal: controller.signal });
    expect(await following.next()).toMatchObject({ done: false, value: { seq: 1 } });
    const next = following.next();
    await new Promise(setImmediate);
    const startedMs = performance.now();
    controller.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(performance.now() - startedMs).toBeLessThan(500);
  });

  test('comes with an abort in the middle of a batch, and with one before the beginning', async () => {
    const session = await store.createSession();
    await append(session, 50);
    const controller = new AbortController();
    const taken: number[] = [];
    for await (const event of follow(session, { signal: controller.signal })) {
      taken.push(event.seq);
      if (event.seq === 10) controller.abort();
    }
    expect(taken).toEqual(upTo(10));
    expect(await take(follow(session, { signal: controller.signal }))).toEqual([]);
  });

  test('leaves no listener behind, however it came', async () => {
    const live = createLiveChannel();
    let listeners = 0;
    const channel = {
      ...live,
      subscribe: (...subscription: Parameters<typeof live.subscribe>) => {
        listeners += 1;
        const end = live.subscribe(...subscription);
        return () => {
          listeners -= 1;
          end();
        };
      },
    };
    const feed = createEventFeed({ log: store.log, channel });
    const session = await store.createSession();
    const controller = new AbortController();
    const signal = controller.signal;
    await take(feed.follow({ sessionId: session, after: 0, signal }), 1);
    await take(feed.follow({ sessionId: session, after: 1, signal, isOver: async () => true }));
    const last = take(feed.follow({ sessionId: session, after: 1, signal }));
    controller.abort();
    await last;
    expect(listeners).toBe(0);
  });

  test('comes when nothing new ever will, and not before the last event was read', async () => {
    const session = await store.createSession();
    // Another process writes the last event, unheard, after the feed has looked and before it asks whether all is over.
    const unheard = createEventFeed({ log: store.log, channel: createLiveChannel() });
    let asked = 0;
    const isOver = async () => {
      asked += 1;
      if (asked === 1) await append(session, 1);
      return true;
    };
    const signal = new AbortController().signal;
    expect(numbers(await take(unheard.follow({ sessionId: session, after: 0, signal, isOver })))).toEqual([
      1, 2,
    ]);
  });

  test('of a session that is deleted in another process comes after its last event, which stays until it was told', async () => {
    const seen: SessionEvent[] = [];
    const types = () => seen.map(({ type }) => type);
    const channel: LiveChannel = {
      ...createLiveChannel(),
      told: () =>
        eventually(
          async () => types(),
          (all) => all.includes('session.ended'),
        ).then(() => undefined),
    };
    const other = await openTestStore({ file: store.file, channel });
    const session = await other.createSession();
    const message = await other.send(session);
    await other.turns.appendText(writerOf(await other.open(message, null)), 'Half a sent');
    const isOver = async () => (await store.sessionRow(session)).deleted_at !== null;
    const following = (async () => {
      for await (const event of follow(session, { isOver })) seen.push(event);
    })();
    await eventually(
      async () => types(),
      (all) => all.includes('message.delta'),
    );
    await other.sessions.delete(other.caller, session);
    expect(await store.events(session)).toEqual([]);
    await following;
    expect(numbers(seen)).toEqual(upTo(seen.length));
    expect(seen.slice(-2)).toMatchObject([
      { type: 'message.interrupted', data: { message: { content: 'Half a sent' } } },
      { type: 'session.ended', data: { reason: 'deleted' } },
    ]);
    await other.close();
  });

  test('is an error when the log can not be read', async () => {
    const read = async () => {
      throw new Error('disk gone');
    };
    const broken = createEventFeed({
      log: { read } as unknown as SessionLog,
      channel: createLiveChannel(),
    });
    const signal = new AbortController().signal;
    await expect(take(broken.follow({ sessionId: 'sess_1', after: 0, signal }))).rejects.toThrow('disk gone');
  });
});

describe('a bell', () => {
  const silence = () => new AbortController().signal;

  test('rung between listening and waiting is heard', async () => {
    const bell = createBell(silence());
    const heard = bell.listen();
    bell.ring();
    expect(await heard(10_000)).toBe(true);
  });

  test('rung before listening is not: what it told of has been read since', async () => {
    const bell = createBell(silence());
    bell.ring();
    expect(await bell.listen()(1)).toBe(false);
  });

  test('wakes who waits, and an abort does too', async () => {
    const controller = new AbortController();
    const bell = createBell(controller.signal);
    const first = bell.listen()(10_000);
    bell.ring();
    expect(await first).toBe(true);
    const second = bell.listen()(10_000);
    controller.abort();
    expect(await second).toBe(true);
  });
});
