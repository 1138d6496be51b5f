// The session workflow on a real Temporal server, with the real store and activities.

import type { WorkflowExecutionDescription as Description } from '@temporalio/client';
import type { AcceptedMessage } from '../../src/services/ports.ts';
import { streamedText } from '../../src/stores/log.ts';
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';
import { isGapFree } from '../support/store.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await startTestEngine();
});
afterAll(() => engine.stop());
afterEach(() => {
  engine.lost.clear();
  engine.clock.aheadMs = 0;
});

const texts = async (session: string) => {
  const { head } = await engine.sessionRow(session);
  return (await engine.rows.branch(head)).reverse().map((row) => row.text);
};

const callsFor = (text: string) => engine.simulator.calls.filter((call) => call.text.includes(text));

const idle = (session: string) =>
  engine.rebuiltState(session, (state) => state.running === null && state.queue.length === 0);

/** Passes of the sweep, so much later, until the session's run is as wanted: a row in use is left for the next pass. */
async function sweepUntil(session: string, aheadMs: number, wanted: (run: Description) => boolean) {
  engine.clock.aheadMs = aheadMs;
  const pass = async () => {
    await engine.sweep.run();
    engine.clock.aheadMs += aheadMs;
    return engine.handle(session).describe();
  };
  await eventually(pass, wanted);
}

/** Texts of their own, so that the simulator's calls can be told apart. */
let count = 0;
const newText = (text: string) => {
  count += 1;
  return `${text} #${count}.`;
};

describe('messages', () => {
  test('are answered in the order of acceptance, one after the other', async () => {
    const session = await engine.createSession();
    const sent: AcceptedMessage[] = [];
    for (const n of [1, 2, 3, 4]) sent.push(await engine.send(session, `Message ${n} [[tokens=5]]`));
    await Promise.all(sent.map((message) => engine.settled(message)));
    expect((await texts(session)).filter((_, n) => n % 2 === 0)).toEqual(
      [1, 2, 3, 4].map((n) => `Message ${n} [[tokens=5]]`),
    );
    expect(isGapFree(await engine.events(session))).toBe(true);
    expect(await idle(session)).toMatchObject({ turns: 4, head: sent.at(-1)?.replyId });
  });

  test('whose signals overtake each other are answered in the order of acceptance', async () => {
    const session = await engine.createSession();
    engine.lost.add('message');
    const sent: AcceptedMessage[] = [];
    for (const n of [1, 2, 3]) sent.push(await engine.send(session, `Message ${n}`));
    engine.lost.clear();
    const to = await engine.engineSession(session);
    for (const message of sent.reverse()) {
      await engine.gateway.signal('message', to, await engine.signalOf(message));
      // The workflow begins with what it has heard of.
      await eventually(
        () => engine.state(session),
        (state) => !!state && (state.running !== null || state.turns > 0 || state.queue.length > 0),
      );
    }
    await Promise.all(sent.map((message) => engine.settled(message)));
    expect((await texts(session)).filter((_, n) => n % 2 === 0)).toEqual([
      'Message 1',
      'Message 2',
      'Message 3',
    ]);
    expect(await idle(session)).toMatchObject({ turns: 3 });
  });

  test('signalled twice have one turn: while it runs, after it, and in a new run', async () => {
    const text = newText('Twice');
    const session = await engine.createSession();
    const message = await engine.send(session, `${text} [[delay_ms=300]]`);
    const [to, signal] = [await engine.engineSession(session), await engine.signalOf(message)];
    await engine.gateway.signal('message', to, signal);
    await engine.settled(message);
    await engine.gateway.signal('message', to, signal);
    const next = await engine.send(session, 'Next');
    await engine.settled(next);
    await idle(session);
    await engine.handle(session).terminate('test');
    await engine.gateway.signal('message', to, signal);
    await engine.settled(await engine.send(session, 'After the new run'));
    expect(callsFor(text)).toHaveLength(1);
    expect((await texts(session)).filter((_, n) => n % 2 === 0)).toEqual([
      ...[`${text} [[delay_ms=300]]`, 'Next', 'After the new run'],
    ]);
    expect(await idle(session)).toMatchObject({ queue: [], running: null });
  });

  test('that were signalled before there was a worker are all there when its first run begins', async () => {
    const late = await startTestEngine({ idle: true });
    const session = await late.createSession();
    const sent: AcceptedMessage[] = [];
    for (const n of [1, 2, 3, 4, 5]) sent.push(await late.send(session, `Message ${n}`));
    await eventually(
      () => late.unsent(session),
      (signals) => signals.length === 0,
    );
    await late.startWorker();
    await Promise.all(sent.map((message) => late.settled(message)));
    const positions = (await late.rows.branch((await late.sessionRow(session)).head)).map(
      (row) => row.position,
    );
    expect(positions).toEqual([5, 5, 4, 4, 3, 3, 2, 2, 1, 1]);
    expect(late.simulator.calls).toHaveLength(5);
    await late.stop();
  });

  test('whose signal was lost are found by the sweep', async () => {
    const session = await engine.createSession();
    // A run that begins later would read the message from the store.
    await idle(session);
    engine.lost.add('message');
    const message = await engine.send(session, 'Lost on the way');
    engine.lost.clear();
    await engine.sweep.run();
    expect(await engine.messageRow(message.replyId)).toMatchObject({ status: 'queued' });
    engine.clock.aheadMs = 6_000;
    await engine.sweep.run();
    expect(await engine.settled(message)).toMatchObject({ status: 'completed' });
  });
});

describe('a model that fails', () => {
  test('is tried again, and what it had said is withdrawn', async () => {
    const session = await engine.createSession();
    const message = await engine.send(session, newText('Cut [[tokens=8]][[cut_after=3]][[times=1]]'));
    expect(await engine.settled(message)).toMatchObject({ status: 'completed' });
    const story = await engine.story(session, message.replyId);
    expect(story.filter((type) => type === 'reset')).toHaveLength(1);
    expect(story.at(-1)).toBe('completed');
  });

  test('for good fails the turn, and the next message is answered', async () => {
    const session = await engine.createSession();
    const failed = await engine.send(session, newText('No [[status=400]]'));
    const next = await engine.send(session, 'And now?');
    expect(await engine.settled(failed)).toMatchObject({ status: 'failed' });
    expect(await engine.settled(next)).toMatchObject({ status: 'completed', depth: 4 });
    expect(callsFor('[[status=400]]')).toHaveLength(1);
  });
});

describe('an interrupt', () => {
  test('ends a silent model call within a second, keeps what was said, and the next turn starts', async () => {
    const session = await engine.createSession();
    const silent = await engine.send(session, newText('[[tokens=20]][[silent_after=4]]'));
    await engine.speaking(silent);
    const next = await engine.send(session, 'Next');
    const startedMs = performance.now();
    await engine.sessions.interrupt(engine.caller, session);
    expect(performance.now() - startedMs).toBeLessThan(1_000);
    expect(await engine.messageRow(silent.replyId)).toMatchObject({
      status: 'interrupted',
      text: expect.stringMatching(/\S/),
    });
    expect(await engine.settled(next)).toMatchObject({ status: 'completed' });
    expect(await idle(session)).toMatchObject({ turns: 2, head: next.replyId });
  });

  test('stops a turn that waits for its next try', async () => {
    const session = await engine.createSession();
    const failing = await engine.send(session, newText('[[status=529 retry_after=60]]'));
    await eventually(
      () => engine.gateway.state(session),
      (found) => found?.activity?.attempt === 2,
    );
    const { message } = await engine.sessions.interrupt(engine.caller, session);
    expect(message).toMatchObject({ id: failing.replyId, status: 'interrupted', content: '' });
  });

  test('names a reply and is ignored for another', async () => {
    const session = await engine.createSession();
    const first = await engine.send(session, 'First');
    await engine.settled(first);
    const second = await engine.send(session, newText('Second [[delay_ms=300]]'));
    const to = await engine.engineSession(session);
    await engine.gateway.signal('interrupt', to, { replyId: first.replyId });
    await engine.gateway.signal('interrupt', to, { replyId: 'msg_unknown' });
    expect(await engine.settled(second)).toMatchObject({ status: 'completed' });
  });

  test('and its message, both long over, leave the branch as it is when a new run hears of them again', async () => {
    const session = await engine.createSession();
    const first = await engine.send(session, 'First');
    await engine.settled(first);
    await engine.settled(await engine.send(session, 'Second'));
    await idle(session);
    await engine.handle(session).terminate('test');
    const to = await engine.engineSession(session);
    await engine.gateway.signal('interrupt', to, { replyId: first.replyId });
    await engine.gateway.signal('message', to, await engine.signalOf(first));
    await engine.rebuiltState(session, (state) => state.handled.includes(first.userMessageId));
    await engine.settled(await engine.send(session, 'Third'));
    expect((await texts(session)).filter((_, n) => n % 2 === 0)).toEqual(['First', 'Second', 'Third']);
  });

  test('of a reply whose turn has not begun waits for it, beyond the turn that runs', async () => {
    const session = await engine.createSession();
    const first = await engine.send(session, newText('First [[delay_ms=300]]'));
    const second = await engine.send(session, newText('Second [[delay_ms=300]]'));
    await engine.gateway.signal('interrupt', await engine.engineSession(session), {
      replyId: second.replyId,
    });
    expect(await engine.settled(second)).toMatchObject({ status: 'interrupted' });
    expect(await engine.messageRow(first.replyId)).toMatchObject({ status: 'completed' });
  });
});

test('an interrupt leaves the order of acceptance as it is, also when the workflow has not heard of all', async () => {
  const session = await engine.createSession();
  engine.lost.add('message');
  const sent: AcceptedMessage[] = [];
  for (const n of [1, 2, 3]) sent.push(await engine.send(session, `Message ${n}`));
  engine.lost.clear();
  const last = sent[2] as AcceptedMessage;
  const to = await engine.engineSession(session);
  await engine.gateway.signal('interrupt', to, { replyId: last.replyId });
  await engine.gateway.signal('message', to, await engine.signalOf(last));
  const replies = await Promise.all(sent.map((message) => engine.settled(message)));
  expect(replies.map(({ status }) => status)).toEqual(['completed', 'completed', 'interrupted']);
  expect(replies.map(({ depth }) => depth)).toEqual([2, 4, 6]);
});

describe('a run that is terminated', () => {
  test('in the middle of a turn comes back, and the answer arrives once', async () => {
    const session = await engine.createSession();
    const text = newText('Silent once [[tokens=20]][[silent_after=4]][[times=1]]');
    const message = await engine.send(session, text);
    const waiting = await engine.send(session, 'And then?');
    await engine.speaking(message);
    const { runId } = await engine.handle(session).describe();
    await engine.handle(session).terminate('test');
    await sweepUntil(session, 31_000, (run) => run.runId !== runId);
    const reply = await engine.settled(message);
    expect(reply).toMatchObject({ status: 'completed' });
    expect(await streamedText(engine.db, message.replyId)).toBe(reply.text);
    expect(await engine.settled(waiting)).toMatchObject({ status: 'completed' });
    const story = await engine.story(session, message.replyId);
    expect(story.filter((type) => type !== 'delta')).toEqual([
      ...['created', 'content_started', 'reset', 'content_ended', 'completed'],
    ]);
    // The first run's call is given up as well.
    await eventually(
      async () => callsFor(text).map((call) => call.outcome),
      (outcomes) => outcomes.join() === 'aborted,completed',
    );
    expect(await idle(session)).toMatchObject({ head: waiting.replyId });
  });

  test('while it is idle comes back with the next message', async () => {
    const session = await engine.createSession();
    const first = await engine.send(session, 'First');
    await engine.settled(first);
    await idle(session);
    await engine.handle(session).terminate('test');
    const second = await engine.send(session, 'Second');
    expect(await engine.settled(second)).toMatchObject({ parent_id: second.userMessageId, depth: 4 });
  });
});

test('a worker that stops hands its turn over at once: the next one starts it again', async () => {
  const own = await startTestEngine();
  const session = await own.createSession();
  const message = await own.send(session, 'Handed over [[tokens=20]][[silent_after=4]][[times=1]]');
  await own.speaking(message);
  await own.stopWorker();
  expect(await own.messageRow(message.replyId)).toMatchObject({ status: 'in_progress' });
  const startedMs = performance.now();
  await own.startWorker();
  expect(await own.settled(message)).toMatchObject({ status: 'completed' });
  // Temporal alone would give a dead worker twenty seconds.
  expect(performance.now() - startedMs).toBeLessThan(10_000);
  const calls = await own.db
    .selectFrom('model_calls')
    .selectAll()
    .where('session_id', '=', session)
    .execute();
  expect(calls.map((call) => call.outcome)).toEqual(['superseded', 'completed']);
  expect(calls.every((call) => call.input_tokens > 0)).toBe(true);
  await own.stop();
});

describe('the state that a run carries', () => {
  test('is at every wait what the store would rebuild', async () => {
    const session = await engine.createSession({ expires_after_seconds: 3_600 });
    await idle(session);
    const first = await engine.send(session, newText('One [[tokens=20]][[silent_after=2]]'));
    await engine.speaking(first);
    const running = (id: string, queued: number) =>
      engine.rebuiltState(
        session,
        (state) => state.running?.messageId === id && state.queue.length === queued,
      );
    await running(first.userMessageId, 0);
    const second = await engine.send(session, newText('Two [[tokens=20]][[silent_after=2]]'));
    const third = await engine.send(session, newText('Three'));
    await running(first.userMessageId, 2);
    await engine.sessions.interrupt(engine.caller, session);
    await engine.speaking(second);
    await running(second.userMessageId, 1);
    await engine.sessions.update(engine.caller, session, {
      expires_after_seconds: 7_200,
      model: 'claude-haiku',
    });
    await running(second.userMessageId, 1);
    await engine.sessions.interrupt(engine.caller, session);
    await engine.settled(third);
    expect(await idle(session)).toMatchObject({ head: third.replyId, expiresAtMs: expect.any(Number) });
    await engine.sessions.update(engine.caller, session, { expires_after_seconds: null });
    await engine.rebuiltState(session, (state) => state.expiresAtMs === null);
    const failed = await engine.send(session, newText('[[status=400]]'));
    await engine.settled(failed);
    expect(await idle(session)).toMatchObject({ head: failed.replyId, turns: 4 });
  });
});

describe('the end of a session', () => {
  const completed = (session: string) =>
    eventually(
      () => engine.handle(session).describe(),
      ({ status }) => status.name === 'COMPLETED',
    );

  test('completes its run, in the middle of a turn too', async () => {
    const session = await engine.createSession();
    const open = await engine.send(session, newText('[[tokens=20]][[silent_after=2]]'));
    const queued = await engine.send(session, 'Never');
    await engine.speaking(open);
    await engine.sessions.archive(engine.caller, session);
    const { typedSearchAttributes } = await completed(session);
    expect(JSON.stringify(typedSearchAttributes)).toContain('archived');
    expect(await engine.messageRow(open.replyId)).toMatchObject({ status: 'interrupted' });
    expect(await engine.messageRow(queued.replyId)).toMatchObject({ status: 'failed' });
    await eventually(
      async () => callsFor('silent_after=2').map((call) => call.outcome),
      (outcomes) => !outcomes.includes('open'),
    );
  });

  test('that the workflow was not told of is told by the sweep', async () => {
    const session = await engine.createSession();
    await engine.settled(await engine.send(session));
    engine.lost.add('end');
    await engine.sessions.complete(engine.caller, session);
    engine.lost.clear();
    expect((await engine.handle(session).describe()).status.name).toBe('RUNNING');
    await sweepUntil(session, 6_000, (run) => run.status.name === 'COMPLETED');
    expect(await engine.unsent(session)).toEqual([]);
  });

  test('by deletion completes its run as well', async () => {
    const session = await engine.createSession();
    await engine.settled(await engine.send(session));
    await engine.sessions.delete(engine.caller, session);
    await completed(session);
  });
});
