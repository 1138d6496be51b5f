// A session over several runs: continue-as-new (design 2a.12).
import { RUN_BOUNDS, RUN_MS_MIN } from '../../workflows/protocol.ts';
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';
import { isGapFree } from '../support/store.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await startTestEngine({ runBounds: { turnsPerRunMax: 3 } });
});
afterAll(() => engine.stop());

const questions = async (session: string) => {
  const branch = await engine.rows.branch((await engine.sessionRow(session)).head);
  return branch
    .reverse()
    .filter((row) => row.role === 'user')
    .map((row) => row.text);
};

const idle = (session: string, turns: number) =>
  engine.rebuiltState(
    session,
    (state) => state.turns === turns && !state.running && state.queue.length === 0,
  );

async function runsOf(session: string): Promise<number> {
  const runs = engine.client.workflow.list({ query: `WorkflowId = '${session}'` });
  let count = 0;
  for await (const _ of runs) count += 1;
  return count;
}

// Temporal begins the next run a second after the last one's start at the earliest: short runs make these tests wait.
describe('continue-as-new', () => {
  test('loses no message and doubles none, whenever they are sent', async () => {
    const session = await engine.createSession();
    const before = engine.simulator.calls.length;
    const sender = async (name: string) => {
      const sent = [];
      for (let n = 0; n < 4; n += 1) {
        const message = await engine.send(session, `${name}${n} [[tokens=2]]`);
        sent.push(message);
        // Half of them come while a turn runs, half at its end, where a run may end as well.
        if (n % 2) await engine.settled(message);
      }
      return sent;
    };
    const sent = (await Promise.all(['a', 'b', 'c', 'd'].map(sender))).flat();
    await Promise.all(sent.map((message) => engine.settled(message)));
    expect(await idle(session, 16)).toMatchObject({ turns: 16 });
    const asked = await questions(session);
    expect(asked).toHaveLength(16);
    expect(new Set(asked).size).toBe(16);
    expect(engine.simulator.calls.length - before).toBe(16);
    expect(isGapFree(await engine.events(session))).toBe(true);
    await eventually(
      () => runsOf(session),
      (count) => count === 6,
    );
  });

  test('comes after so many events, but not before Temporal would begin the next run', async () => {
    const long = await startTestEngine({ runBounds: { turnsPerRunMax: 1_000 } });
    const session = await long.createSession();
    const run = async () => (await long.handle(session).describe()).runId;
    await long.settled(await long.send(session, 'First'));
    const first = await run();
    for (let turn = 0; turn < 300 && (await run()) === first; turn += 1)
      await long.settled(await long.send(session, `Turn ${turn}`));
    const ended = await long.client.workflow.getHandle(session, first).describe();
    expect(ended.status.name).toBe('CONTINUED_AS_NEW');
    expect(ended.historyLength).toBeGreaterThanOrEqual(RUN_BOUNDS.eventsPerRunMax);
    expect(Number(ended.closeTime) - Number(ended.startTime)).toBeGreaterThanOrEqual(RUN_MS_MIN);
    await long.stop();
  });

  test('of a busy client waits for its next message, which the next run answers', async () => {
    const busy = await startTestEngine({ runBounds: { turnsPerRunMax: 1, quietMs: 600_000 } });
    const session = await busy.createSession();
    await busy.settled(await busy.send(session, 'One'));
    const { runId } = await busy.handle(session).describe();
    await busy.settled(await busy.send(session, 'Two'));
    const history = await busy.client.workflow.getHandle(session, runId).fetchHistory();
    const events = history.events ?? [];
    const count = (attributes: keyof (typeof events)[number]) =>
      events.filter((event) => event[attributes]).length;
    expect(count('workflowExecutionSignaledEventAttributes')).toBe(2);
    expect(count('activityTaskCompletedEventAttributes')).toBe(1);
    expect(count('workflowTaskFailedEventAttributes')).toBe(0);
    expect(count('workflowExecutionContinuedAsNewEventAttributes')).toBe(1);
    await busy.stop();
  });

  test('keeps the search attributes and the outline', async () => {
    const session = await engine.createSession({ model: 'claude-opus-4-6' });
    await idle(session, 0);
    const { runId } = await engine.handle(session).describe();
    for (const text of ['One', 'Two', 'Three', 'Four'])
      await engine.settled(await engine.send(session, text));
    expect((await idle(session, 4)).outline).toHaveLength(4);
    const now = await engine.handle(session).describe();
    expect(now.runId).not.toBe(runId);
    expect(JSON.stringify(now.typedSearchAttributes)).toMatch(/claude-opus-4-6/);
    expect(JSON.stringify(now.typedSearchAttributes)).toMatch(/active/);
  });

  test('carries an interrupt to the turn that it names', async () => {
    const session = await engine.createSession();
    for (const text of ['One', 'Two']) await engine.settled(await engine.send(session, text));
    const last = await engine.send(session, 'The last of its run [[delay_ms=300]]');
    const next = await engine.send(session, 'Not wanted any more [[delay_ms=300]]');
    await engine.gateway.signal('interrupt', await engine.engineSession(session), { replyId: next.replyId });
    expect(await engine.settled(next)).toMatchObject({ status: 'interrupted' });
    expect(await engine.messageRow(last.replyId)).toMatchObject({ status: 'completed' });
  });

  test('carries changed settings, and comes after the last turn of a run is interrupted as after any other', async () => {
    const session = await engine.createSession();
    for (const text of ['One', 'Two']) await engine.settled(await engine.send(session, text));
    const last = await engine.send(session, 'The last of its run [[tokens=20]][[silent_after=4]]');
    await engine.speaking(last);
    const { runId } = await engine.handle(session).describe();
    await engine.sessions.update(engine.caller, session, { model: 'claude-opus-4-6' });
    const next = await engine.send(session, 'Rather this', { on_busy: 'interrupt' });
    expect(await engine.settled(next)).toMatchObject({ status: 'completed', model: 'claude-opus-4-6' });
    expect(await engine.messageRow(last.replyId)).toMatchObject({ status: 'interrupted' });
    expect(await idle(session, 4)).toMatchObject({ model: 'claude-opus-4-6', head: next.replyId });
    expect((await engine.handle(session).describe()).runId).not.toBe(runId);
  });

  test('comes in between a signal that is sent twice, and it still has one turn', async () => {
    const session = await engine.createSession();
    const sent = [];
    for (const text of ['One', 'Two', 'Three']) {
      sent.push(await engine.send(session, text));
      await engine.settled(sent.at(-1) as never);
    }
    await idle(session, 3);
    const to = await engine.engineSession(session);
    for (const message of sent) await engine.gateway.signal('message', to, await engine.signalOf(message));
    await engine.settled(await engine.send(session, 'Four'));
    expect(await questions(session)).toEqual(['One', 'Two', 'Three', 'Four']);
    expect(await idle(session, 4)).toMatchObject({ turns: 4 });
  });
});
