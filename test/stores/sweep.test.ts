// What the sweep finds in the rows, and what it makes of it, with a Temporal that only keeps count (design 2a.8).

import type { Engine } from '../../src/services/engine.ts';
import { createSweepStore } from '../../src/stores/sweep.ts';
import { eventually } from '../support/api-client.ts';
import { CALL } from '../support/signal-work.ts';
import { openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

const START_MS = Date.parse('2026-03-01T12:00:00Z');
let nowMs = START_MS;
let told: string[] = [];
/** Sessions whose workflow refuses every word. */
const deaf = new Set<string>();
/** What is lost on its way, by its name. */
const lost = new Set<string>();
let lostCount = 0;

const tell = async (what: string, session: { sessionId: string }) => {
  if (lost.has(what)) {
    lostCount += 1;
    throw new Error('lost');
  }
  if (deaf.has(session.sessionId)) throw new Error('deaf');
  told.push(`${what} ${session.sessionId}`);
};

const engine: Partial<Engine> = {
  start: (session) => tell('start', session),
  signal: (name, session) => tell(name, session),
  isRunning: async () => false,
  endUnreplayable: async () => false,
};

let store: TestStore;
beforeEach(async () => {
  nowMs = START_MS;
  told = [];
  deaf.clear();
  lost.clear();
  lostCount = 0;
  store = await openTestStore({ now: () => nowMs, engine });
});
afterEach(() => store.close());

/** One pass, and what it told whom. */
async function sweep(aheadMs: number): Promise<string[]> {
  await store.outbox.flush();
  told = [];
  nowMs += aheadMs;
  await store.sweep.run();
  // Sent signals are acknowledged together, a moment later.
  await store.outbox.flush();
  return told.sort();
}

async function sendUnheard(session: string) {
  lost.add('message');
  const message = await store.send(session);
  lost.clear();
  return message;
}

describe('a message whose signal was lost', () => {
  test('is signalled after five seconds, once', async () => {
    const session = await store.createSession();
    await sendUnheard(session);
    expect(await sweep(4_999)).toEqual([]);
    expect(await sweep(2)).toEqual([`message ${session}`]);
    expect(await sweep(5_000)).toEqual([]);
  });

  test('is none when its turn has begun, or its session has ended', async () => {
    const begun = await store.createSession();
    await store.open(await sendUnheard(begun), null);
    const ended = await store.createSession();
    await sendUnheard(ended);
    await store.sessions.complete(store.caller, ended);
    // The word of the end is on its way; the sweep would say it again only if it were lost.
    await eventually(
      () => store.unsent(ended),
      (signals) => signals.length === 0,
    );
    expect(await sweep(6_000)).toEqual([]);
  });

  test('does not wait for a session that can not be told', async () => {
    const sessions = [await store.createSession(), await store.createSession(), await store.createSession()];
    for (const session of sessions) await sendUnheard(session);
    deaf.add(sessions[0] ?? '');
    expect(await sweep(6_000)).toEqual(
      sessions
        .slice(1)
        .map((session) => `message ${session}`)
        .sort(),
    );
    deaf.clear();
    expect(await sweep(6_000)).toEqual([`message ${sessions[0]}`]);
  });
});

describe('a session that owes an answer while no run is open', () => {
  test('is told of the reply that is open, every half minute', async () => {
    const session = await store.createSession();
    const step = await store.open(await store.send(session), null);
    await store.send(session, 'Queued behind it');
    await eventually(
      () => store.unsent(session),
      (signals) => signals.length === 0,
    );
    expect(await sweep(29_000)).toEqual([]);
    expect(await sweep(2_000)).toEqual([`message ${session}`]);
    expect(await sweep(29_000)).toEqual([]);
    expect(await sweep(2_000)).toEqual([`message ${session}`]);
    await store.turns.interrupt({ sessionId: session, head: null, replyId: step.reply.id });
    expect(await sweep(31_000)).toEqual([`message ${session}`]);
  });

  test('hears of an interrupt that its workflow has lost', async () => {
    const session = await store.createSession();
    const open = await store.send(session);
    const { reply } = await store.open(open, null);
    await store.turns.interrupt({ sessionId: session, head: null, replyId: reply.id });
    const next = await store.send(session, 'Queued behind it');
    const running = { messageId: open.userMessageId, replyId: reply.id };
    const state = { running, queue: [{ messageId: next.userMessageId }] };
    const waiting = await openTestStore({
      ...{ file: store.file, now: () => nowMs + 31_000 },
      engine: { ...engine, state: async () => ({ answer: { state } }) as never },
    });
    told = [];
    await waiting.sweep.run();
    expect(told).toContain(`interrupt ${session}`);
    await waiting.close();
  });

  test('does not wait for one that can not be told', async () => {
    const sessions = [await store.createSession(), await store.createSession()];
    for (const session of sessions) await store.open(await store.send(session), null);
    deaf.add(sessions[0] ?? '');
    expect(await sweep(31_000)).toEqual([`message ${sessions[1]}`]);
  });

  test('is left alone when it owes nothing any more', async () => {
    const session = await store.createSession();
    const step = await store.open(await store.send(session), null);
    await store.turns.fail({ sessionId: session, head: null, replyId: step.reply.id }, 'test');
    expect(await sweep(31_000)).toEqual([]);
  });

  test('is claimed by one of many sweeps', async () => {
    const session = await store.createSession();
    await store.open(await store.send(session), null);
    const rows = createSweepStore(store.store);
    nowMs += 31_000;
    const claims = await Promise.all([1, 2, 3].map(() => rows.claimOwing(nowMs, nowMs + 30_000, false)));
    expect(claims.flat().map((row) => row.id)).toEqual([session]);
  });
});

describe('an idle session past its deadline', () => {
  test('is woken a minute later, and again every half minute', async () => {
    const session = await store.createSession({ expires_after_seconds: 60 });
    expect(await sweep(119_000)).toEqual([]);
    expect(await sweep(2_000)).toEqual([`configure ${session}`]);
    // A workflow that can't answer takes ten thousand signals and no more.
    expect(await sweep(5_000)).toEqual([]);
    expect(await sweep(26_000)).toEqual([`configure ${session}`]);
  });

  test('does not wait for one that can not be told', async () => {
    const sessions = [];
    for (let n = 0; n < 2; n += 1) sessions.push(await store.createSession({ expires_after_seconds: 60 }));
    deaf.add(sessions[0] ?? '');
    expect(await sweep(130_000)).toEqual([`configure ${sessions[1]}`]);
  });
});

describe("another worker's attempt that does not renew its lease", () => {
  const ended: string[] = [];
  const failAttempt: Engine['failAttempt'] = async ({ sessionId }) => {
    ended.push(sessionId);
    return true;
  };
  let watched: TestStore;

  async function watch(isOnlyWorker: boolean): Promise<void> {
    const place = { file: store.file, now: () => nowMs, worker: 'living', isOnlyWorker };
    watched = await openTestStore({ ...place, engine: { ...engine, failAttempt } });
  }
  beforeEach(() => {
    ended.length = 0;
  });
  afterEach(() => watched.close());

  async function streaming() {
    const session = await store.createSession();
    const { userMessageId: messageId } = await store.send(session);
    const attempt = { worker: 'silent', runId: 'run', activityId: '1', attempt: 1 };
    const begun = await store.turns.begin({ sessionId: session, head: null, messageId, step: 1, attempt });
    if (begun.kind !== 'open') throw new Error(`Not opened but ${begun.kind}`);
    const writer = writerOf(begun);
    return { session, writer, renew: () => store.turns.renewLease(writer) };
  }

  /** Looks as the sweep does, each half second. @returns when attempts were ended, in ms from now. */
  async function lookFor(ms: number): Promise<number[]> {
    const from = nowMs;
    const times: number[] = [];
    while (nowMs < from + ms) {
      nowMs += 500;
      const before = ended.length;
      await watched.sweep.run();
      if (ended.length > before) times.push(nowMs - from);
    }
    return times;
  }

  test('is ended when its lease is older than six seconds', async () => {
    await watch(false);
    await streaming();
    expect(await lookFor(6_000)).toEqual([]);
    expect(await lookFor(500)).toEqual([500]);
  });

  test('is none while the turn waits for its client: a thousand of them are not asked after each time', async () => {
    await watch(true);
    const { writer } = await streaming();
    expect(await lookFor(500)).toEqual([500]);
    await store.turns.complete(writer, '', replyOf('Half'), [CALL]);
    expect(await lookFor(10_000)).toEqual([]);
  });

  test('is ended by one of two workers that have found it, for the next attempt has the same name', async () => {
    const { session } = await streaming();
    const found = await store.sessionRow(session);
    const { claimLease } = createSweepStore(store.store);
    const again = nowMs + 1_000;
    expect([await claimLease(found, again), await claimLease(found, again)]).toEqual([true, false]);
  });

  test('is ended again a second later when nothing has come of it: who ended it may have died over it', async () => {
    await watch(false);
    await streaming();
    expect(await lookFor(6_500)).toEqual([6_500]);
    expect(await lookFor(1_500)).toEqual([1_500]);
  });

  test('lives on when the store was away as long, and it renews within two of its intervals after that', async () => {
    await watch(false);
    const { session, renew } = await streaming();
    expect(await lookFor(1_000)).toEqual([]);
    nowMs += 9_000;
    expect(await lookFor(3_500)).toEqual([]);
    await renew();
    expect(await lookFor(6_000)).toEqual([]);
    expect(await lookFor(500)).toEqual([500]);
    expect(ended).toEqual([session]);
  });

  test('is ended soon after such an absence, when it does not renew', async () => {
    await watch(false);
    await streaming();
    expect(await lookFor(1_000)).toEqual([]);
    nowMs += 9_000;
    expect(await lookFor(4_500)).toEqual([4_500]);
  });

  test('is left alone by one that has just begun, for one interval of its renewals', async () => {
    await streaming();
    nowMs += 9_000;
    await watch(false);
    expect(await lookFor(1_500)).toEqual([]);
    expect(await lookFor(500)).toEqual([500]);
  });

  test('is ended at once by the only worker there is', async () => {
    await watch(true);
    await streaming();
    expect(await lookFor(500)).toEqual([500]);
  });
});

test("an expiry is the workflow's own doing: it is not started again to hear of it", async () => {
  const session = await store.createSession({ expires_after_seconds: 60 });
  nowMs += 60_000;
  expect(await store.turns.expire(session, nowMs)).toMatchObject({ ended_reason: 'expired' });
  expect(await sweep(31_000)).toEqual([]);
});

describe('an end that its workflow has not heard of', () => {
  /** The signal goes out behind the answer, so it may come when nothing is lost any more. */
  async function unheardEnds(sessions: string[]) {
    lost.add('end');
    for (const session of sessions) await store.sessions.complete(store.caller, session);
    await eventually(
      async () => lostCount,
      (count) => count === sessions.length,
    );
    lost.clear();
  }

  test('is told after five seconds, once', async () => {
    const session = await store.createSession();
    await unheardEnds([session]);
    expect(await sweep(4_000)).toEqual([]);
    expect(await sweep(2_000)).toEqual([`end ${session}`]);
    expect(await sweep(6_000)).toEqual([]);
  });

  test('does not wait for a session that can not be told', async () => {
    const sessions = [await store.createSession(), await store.createSession()];
    await unheardEnds(sessions);
    deaf.add(sessions[0] ?? '');
    expect(await sweep(6_000)).toEqual([`end ${sessions[1]}`]);
  });
});

test('a deletion that was cut short between its two transactions is finished', async () => {
  const session = await store.createSession();
  const writer = writerOf(await store.open(await store.send(session, 'Secret'), null));
  await store.turns.appendText(writer, 'Secret');
  await store.log.write(session, async (tx) => store.turns.endSession(tx, { reason: 'deleted' }));
  await sweep(6_000);
  expect(await store.events(session)).toEqual([]);
  expect(await store.sessionRow(session)).toMatchObject({ deleted_at: nowMs });
});

test('a deletion whose second transaction fails is answered as it was accepted, and finished by the sweep', async () => {
  const session = await store.createSession();
  const { id } = await store.createWebhook();
  await store.sessions.update(store.caller, session, { metadata: { secret: 'a private text' } });
  // Only the second one needs this table.
  await store.db.schema.alterTable('steps').renameTo('steps_away').execute();
  expect(await store.sessions.delete(store.caller, session)).toEqual({ id: session, deleted: true });
  await eventually(
    async () => told,
    (words) => words.includes(`end ${session}`),
  );
  await expect(store.sessions.get(store.caller, session, { includeState: false })).rejects.toMatchObject({
    code: 'not_found',
  });
  await store.db.schema.alterTable('steps_away').renameTo('steps').execute();
  await sweep(6_000);
  expect(await store.events(session)).toEqual([]);
  expect(await store.sessionRow(session)).toMatchObject({ deleted_at: nowMs, metadata: '{}' });
  expect((await store.deliveriesOf(id)).map(({ event_type, status }) => [event_type, status])).toEqual([
    ['session.updated', 'cancelled'],
    ['session.ended', 'pending'],
  ]);
});

test('signals that a slow pass has claimed too long ago are left to the next pass', async () => {
  lost.add('configure');
  for (let n = 0; n < 30; n += 1)
    await store.sessions.update(store.caller, await store.createSession(), { model: 'claude-sonnet-4-6' });
  await eventually(
    async () => lostCount,
    (count) => count >= 30,
  );
  let calls = 0;
  const signal = async () => {
    calls += 1;
    nowMs += 6_000;
  };
  const slow = await openTestStore({
    ...{ file: store.file, now: () => nowMs },
    engine: { ...engine, signal },
  });
  nowMs += 6_000;
  await slow.sweep.run();
  // As many as are sent at once.
  expect(calls).toBeLessThanOrEqual(10);
  expect(calls).toBeGreaterThan(0);
  await slow.close();
});

test('with Temporal away a pass gives up soon: a hundred rows are not a hundred time-outs', async () => {
  for (let n = 0; n < 30; n += 1) await sendUnheard(await store.createSession());
  let calls = 0;
  const signal = async () => {
    calls += 1;
    throw new Error('away');
  };
  const requireAvailable = () => {
    throw new Error('Temporal is away');
  };
  const away = await openTestStore({
    ...{ file: store.file, now: () => nowMs + 6_000 },
    engine: { ...engine, signal, requireAvailable },
  });
  await away.sweep.run();
  // As many as are helped at once.
  expect(calls).toBe(10);
  await away.close();
});
