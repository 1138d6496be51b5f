// One question for all that is followed rings those that have moved, and nobody else.
import { pino } from 'pino';
import { type Change, createLiveChannel } from '../../src/events/live-channel.ts';
import { createPolledChannel } from '../../src/events/polled-channel.ts';
import { eventually } from '../support/api-client.ts';

/** A store in which another process writes. */
function storeWith(seqs: Record<string, number>) {
  const questions: string[][] = [];
  let away = false;
  return {
    seqs,
    questions,
    set away(value: boolean) {
      away = value;
    },
    async seqsOf(ids: string[]) {
      questions.push(ids);
      if (away) throw new Error('away');
      return ids.flatMap((id) => (seqs[id] === undefined ? [] : [{ id, seq: seqs[id] }]));
    },
  };
}

function open(seqs: Record<string, number>, intervalMs = 1) {
  const store = storeWith(seqs);
  const { seqsOf } = store;
  const channel = createPolledChannel({
    channel: createLiveChannel(),
    seqsOf,
    log: pino({ level: 'silent' }),
    intervalMs,
  });
  const heard: Change[] = [];
  return {
    store,
    channel,
    heard,
    follow: (id: string) => channel.subscribe(id, (change) => heard.push(change)),
  };
}

const until = (condition: () => boolean) => eventually(async () => condition(), Boolean);
/** So many more questions have been asked. */
async function asked({ questions }: ReturnType<typeof storeWith>, more = 3): Promise<void> {
  const before = questions.length;
  await until(() => questions.length >= before + more);
}
const message = { type: 'message.delta', message_id: 'msg_1' } as const;

test('a follower is rung when the store is first seen, and again whenever it has moved', async () => {
  const { store, heard, follow } = open({ a: 4, b: 1 });
  const leave = follow('a');
  await until(() => heard.length === 1);
  await asked(store);
  expect(heard).toEqual([{ sessionId: 'a', seq: 4 }]);
  store.seqs.a = 6;
  store.seqs.b = 2;
  await until(() => heard.length === 2);
  expect(heard[1]).toEqual({ sessionId: 'a', seq: 6 });
  leave();
});

test('nothing is asked before anything is followed, and nothing after the last follower has left', async () => {
  const { store, channel, follow } = open({ a: 1 });
  channel.publish({ sessionId: 'a', seq: 1, events: [message] });
  expect(store.questions).toEqual([]);
  const leaves = [follow('a'), follow('a'), follow('b')];
  await asked(store);
  expect(store.questions.at(-1)).toEqual(['a', 'b']);
  leaves[0]!();
  leaves[0]!();
  leaves[2]!();
  await asked(store);
  expect(store.questions.at(-1)).toEqual(['a']);
  leaves[1]!();
  // Whoever follows next begins anew: the earlier chain of questions has ended.
  await new Promise((resolve) => setImmediate(resolve));
  const { length } = store.questions;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(store.questions.length - length).toBeLessThanOrEqual(1);
  const leave = follow('b');
  await asked(store);
  expect(store.questions.at(-1)).toEqual(['b']);
  leave();
});

test('what this process wrote itself rings once, at once', async () => {
  const { store, channel, heard, follow } = open({ a: 1 });
  const leave = follow('a');
  await until(() => heard.length === 1);
  store.seqs.a = 2;
  const own = { sessionId: 'a', seq: 2, events: [message] };
  channel.publish(own);
  expect(heard[1]).toBe(own);
  await asked(store);
  expect(heard).toHaveLength(2);
  leave();
});

test("another process's events below its own are rung for as well: they may be others than its own", async () => {
  const { store, channel, heard, follow } = open({ a: 1 });
  const leave = follow('a');
  await until(() => heard.length === 1);
  // Another process has written 2, this one 3.
  store.seqs.a = 3;
  channel.publish({ sessionId: 'a', seq: 3, events: [message] });
  await until(() => heard.length === 3);
  expect(heard[2]).toEqual({ sessionId: 'a', seq: 3 });
  leave();
});

test('more sessions than one question holds are asked for in several', async () => {
  const ids = Array.from({ length: 1_100 }, (_, index) => `s${index}`);
  const { store, heard, follow } = open(Object.fromEntries(ids.map((id) => [id, 1])));
  const leaves = ids.map(follow);
  await until(() => heard.length === ids.length);
  expect(store.questions.slice(0, 3).map(({ length }) => length)).toEqual([500, 500, 100]);
  for (const leave of leaves) leave();
});

test('what one process has said is told when all the others have had the time to hear of it', async () => {
  const { store, heard, follow } = open({ a: 1 }, 20);
  const leave = follow('a');
  await until(() => heard.length === 1);
  const { channel } = open({}, 20);
  store.seqs.a = 2;
  channel.publish({ sessionId: 'a', seq: 2, events: [message] });
  await channel.told();
  expect(heard[1]).toEqual({ sessionId: 'a', seq: 2 });
  leave();
});

test('a store that is away ends nothing: what has moved meanwhile is rung for afterwards', async () => {
  const { store, heard, follow } = open({ a: 1 });
  const leave = follow('a');
  await until(() => heard.length === 1);
  store.away = true;
  await asked(store, 1);
  store.seqs.a = 2;
  store.away = false;
  await until(() => heard.length === 2);
  leave();
});

describe('with hints of other processes', () => {
  function openHinted(seqs: Record<string, number>, options: { safetyIntervalMs?: number } = {}) {
    const store = storeWith(seqs);
    const ears = new Map<string, (change: Change | null) => void>();
    const said: Change[] = [];
    const state = { live: true };
    const channel = createPolledChannel({
      channel: createLiveChannel(),
      seqsOf: store.seqsOf,
      hints: {
        isLive: () => state.live,
        publish: (change) => said.push(change),
        follow(id, ear) {
          ears.set(id, ear);
          return () => ears.delete(id);
        },
      },
      log: pino({ level: 'silent' }),
      intervalMs: 1,
      ...options,
    });
    const heard: Change[] = [];
    const follow = (id: string) => channel.subscribe(id, (change) => heard.push(change));
    return { store, channel, ears, said, state, heard, follow };
  }
  const event = (seq: number): Change => ({ sessionId: 'a', seq, events: [message] });

  /** Longer than many intervals: what has not been asked by then is not asked. */
  const manyIntervals = () => new Promise((resolve) => setTimeout(resolve, 30));

  test('the store is asked once, and a follower hears what was committed, in detail when nothing lies between', async () => {
    const { store, ears, heard, follow } = openHinted({ a: 4 });
    const leave = follow('a');
    await until(() => heard.length === 1);
    const say = ears.get('a')!;
    for (const change of [event(5), event(7), event(6), event(8)]) say(change);
    expect(heard.slice(1)).toEqual([event(5), { sessionId: 'a', seq: 7 }, event(8)]);
    await manyIntervals();
    expect(store.questions).toHaveLength(1);
    leave();
    expect(ears.size).toBe(0);
  });

  test('a gap in the hints rings, for something may have been said in it', async () => {
    const { ears, heard, follow } = openHinted({ a: 4 });
    const leaves = [follow('a'), follow('a')];
    await until(() => heard.length === 2);
    ears.get('a')!(null);
    expect(heard.slice(2)).toEqual([
      { sessionId: 'a', seq: 4 },
      { sessionId: 'a', seq: 4 },
    ]);
    leaves[0]!();
    expect(ears.size).toBe(1);
    leaves[1]!();
    expect(ears.size).toBe(0);
  });

  test('own commits are said, and their echo rings nobody', async () => {
    const { channel, ears, said, heard, follow } = openHinted({ a: 4 });
    const leave = follow('a');
    await until(() => heard.length === 1);
    channel.publish(event(5));
    ears.get('a')!(event(5));
    expect(said).toEqual([event(5)]);
    expect(heard).toHaveLength(2);
    leave();
  });

  test('the store is still asked now and then: what no hint has told of is rung for', async () => {
    const { store, heard, follow } = openHinted({ a: 4 }, { safetyIntervalMs: 5 });
    const leave = follow('a');
    await until(() => heard.length === 1);
    store.seqs.a = 5;
    await until(() => heard.length === 2);
    expect(heard[1]).toEqual({ sessionId: 'a', seq: 5 });
    leave();
  });

  test('while they are away the store is asked, and once more when they are back', async () => {
    const { store, state, heard, follow } = openHinted({ a: 4 });
    const leave = follow('a');
    await until(() => heard.length === 1);
    state.live = false;
    await asked(store);
    store.seqs.a = 5;
    await until(() => heard.length === 2);
    state.live = true;
    await manyIntervals();
    const { length } = store.questions;
    await manyIntervals();
    expect(store.questions).toHaveLength(length);
    leave();
  });
});
