// Messages that interrupt or steer the running turn, on a real Temporal server: whatever gets lost on the way.
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await startTestEngine();
});
afterAll(() => engine.stop());
afterEach(() => {
  engine.lost.clear();
  engine.clock.aheadMs = 0;
});

let count = 0;
/** Texts of their own, so that the simulator's calls can be told apart. */
const newText = (markers: string) => {
  count += 1;
  return `Question ${count} ${markers}`;
};

const SILENT = '[[tokens=20]][[silent_after=4]]';
/** The next try is a minute away. */
const OVERLOADED = '[[status=529 retry_after=60]]';

const interruptWith = (session: string, text = newText('')) =>
  engine.send(session, text, { on_busy: 'interrupt' });

const idle = (session: string) =>
  engine.rebuiltState(session, (state) => state.running === null && state.queue.length === 0);

async function retrying() {
  const session = await engine.createSession();
  const message = await engine.send(session, newText(OVERLOADED));
  await eventually(
    () => engine.gateway.state(session),
    (found) => found?.activity?.attempt === 2,
  );
  return { session, message };
}

async function speaking() {
  const session = await engine.createSession();
  const message = await engine.send(session, newText(SILENT));
  await engine.speaking(message);
  return { session, message };
}

describe('a message that interrupts', () => {
  test('has its turn at once, and the model that was silent is hung up on', async () => {
    const { session, message } = await speaking();
    const next = await interruptWith(session);
    expect(await engine.messageRow(message.replyId)).toMatchObject({ status: 'interrupted' });
    expect(await engine.settled(next)).toMatchObject({ status: 'completed', depth: 4 });
    await eventually(
      async () => engine.simulator.calls.filter((call) => call.outcome === 'aborted').length,
      (aborted) => aborted > 0,
    );
    expect(await idle(session)).toMatchObject({ turns: 2, head: next.replyId });
  });

  test('does not wait for the next try of a failed model call', async () => {
    const { session, message } = await retrying();
    const next = await interruptWith(session);
    expect(await engine.settled(next)).toMatchObject({ status: 'completed' });
    expect(await engine.messageRow(message.replyId)).toMatchObject({ status: 'interrupted', text: '' });
  });

  test('whose signal was lost has its turn when the sweep has said it again', async () => {
    const { session } = await retrying();
    engine.lost.add('message');
    const next = await interruptWith(session);
    engine.lost.clear();
    engine.clock.aheadMs = 6_000;
    await engine.sweep.run();
    expect(await engine.settled(next)).toMatchObject({ status: 'completed' });
    expect(await idle(session)).toMatchObject({ turns: 2 });
  });

  test('whose signal comes again and again interrupts no later turn', async () => {
    const { session } = await speaking();
    const next = await interruptWith(session, newText('[[delay_ms=400]]'));
    const to = await engine.engineSession(session);
    const signal = { ...(await engine.signalOf(next)), interrupts: 'msg_over' };
    await eventually(
      () => engine.messageRow(next.replyId),
      (row) => row.status === 'in_progress',
    );
    for (let time = 0; time < 3; time += 1) await engine.gateway.signal('message', to, signal);
    expect(await engine.settled(next)).toMatchObject({ status: 'completed' });
    await engine.gateway.signal('message', to, signal);
    const after = await engine.send(session, newText(''));
    expect(await engine.settled(after)).toMatchObject({ status: 'completed' });
    expect(await idle(session)).toMatchObject({ turns: 3 });
  });

  test('needs no worker: the next one goes on with it', async () => {
    const own = await startTestEngine();
    const session = await own.createSession();
    const message = await own.send(session, newText(SILENT));
    await own.speaking(message);
    await own.stopWorker();
    const next = await own.send(session, 'Next', { on_busy: 'interrupt' });
    const reply = await own.messageRow(message.replyId);
    expect(reply).toMatchObject({ status: 'interrupted', text: expect.stringMatching(/\S/) });
    await own.startWorker();
    expect(await own.settled(next)).toMatchObject({ status: 'completed' });
    expect(await own.messageRow(message.replyId)).toEqual(reply);
    await own.stop();
  });

  test('comes with a new run as well, and ends the turn that it means', async () => {
    const { session, message } = await speaking();
    const next = await engine.send(session, newText('[[delay_ms=300]]'));
    engine.lost.add('message');
    const last = await interruptWith(session);
    engine.lost.clear();
    await engine.handle(session).terminate('test');
    const to = await engine.engineSession(session);
    const signal = { ...(await engine.signalOf(last)), interrupts: message.replyId };
    await engine.gateway.signal('message', to, signal);
    const replies = await Promise.all([message, next, last].map((each) => engine.settled(each)));
    expect(replies.map(({ status }) => status)).toEqual(['interrupted', 'completed', 'completed']);
    expect(replies.map(({ depth }) => depth)).toEqual([2, 4, 6]);
    expect(await idle(session)).toMatchObject({ head: last.replyId });
  });
});

describe('an interrupt that its workflow never hears of', () => {
  test('is found out by the attempt that writes', async () => {
    const session = await engine.createSession();
    const message = await engine.send(session, newText('[[tokens=3000]][[token_ms=20]]'));
    await engine.speaking(message);
    engine.lost.add('interrupt');
    const { message: closed } = await engine.sessions.interrupt(engine.caller, session);
    const next = await engine.send(session, newText(''));
    expect(await engine.settled(next)).toMatchObject({ status: 'completed' });
    expect(await engine.messageRow(message.replyId)).toMatchObject({ text: closed?.content });
  });

  test('is found out by the attempt whose model is silent', async () => {
    const { session } = await speaking();
    engine.lost.add('interrupt');
    await engine.sessions.interrupt(engine.caller, session);
    const next = await engine.send(session, newText(''));
    expect(await engine.settled(next)).toMatchObject({ status: 'completed' });
  });

  test('is said again by the sweep, when its turn waits for the next try', async () => {
    const { session } = await retrying();
    engine.lost.add('interrupt');
    await engine.sessions.interrupt(engine.caller, session);
    const next = await engine.send(session, newText(''));
    engine.lost.clear();
    engine.clock.aheadMs = 31_000;
    await eventually(
      () => engine.state(session),
      (state) => state?.queue.length === 1,
    );
    await engine.sweep.run();
    expect(await engine.settled(next)).toMatchObject({ status: 'completed' });
  });
});

test('a message that steers is a normal next turn when no further step comes', async () => {
  const session = await engine.createSession();
  const first = await engine.send(session, newText('[[delay_ms=300]]'));
  const next = await engine.send(session, newText(''), { on_busy: 'steer' });
  expect(await engine.settled(first)).toMatchObject({ status: 'completed', stop_reason: 'end_turn' });
  expect(await engine.settled(next)).toMatchObject({ status: 'completed', depth: 4 });
});
