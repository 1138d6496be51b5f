// A session over several runs: continue-as-new and Temporal resets (design 2a.12, 2a.13).
import { temporal } from '@temporalio/proto';
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';
import { isGapFree } from '../support/store.ts';

const { ResetReapplyExcludeType } = temporal.api.enums.v1;

let engine: TestEngine;
beforeAll(async () => {
  engine = await startTestEngine({ turnsPerRunMax: 3 });
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
    await engine.gateway.interrupt(await engine.engineSession(session), { replyId: next.replyId });
    expect(await engine.settled(next)).toMatchObject({ status: 'interrupted' });
    expect(await engine.messageRow(last.replyId)).toMatchObject({ status: 'completed' });
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
    for (const message of sent) await engine.gateway.message(to, await engine.signalOf(message));
    await engine.settled(await engine.send(session, 'Four'));
    expect(await questions(session)).toEqual(['One', 'Two', 'Three', 'Four']);
    expect(await idle(session, 4)).toMatchObject({ turns: 4 });
  });
});

describe('a Temporal reset', () => {
  /** Back to the task that began the first turn; the signals that came after it are sent again, or not. */
  async function reset(session: string, signals: 'again' | 'not again'): Promise<void> {
    const workflowExecution = { workflowId: session, runId: (await engine.handle(session).describe()).runId };
    const { events = [] } = await engine.handle(session).fetchHistory();
    const turn = events?.findIndex((event) => event.activityTaskScheduledEventAttributes) ?? -1;
    const task = events?.slice(0, turn).findLast((event) => event.workflowTaskCompletedEventAttributes);
    await engine.client.workflowService.resetWorkflowExecution({
      namespace: 'default',
      workflowExecution,
      reason: 'test',
      requestId: `reset-${workflowExecution.runId}`,
      workflowTaskFinishEventId: task?.eventId as never,
      resetReapplyExcludeTypes:
        signals === 'again' ? [] : [ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL],
    });
  }

  async function sessionWith(...texts: string[]) {
    const session = await engine.createSession();
    await idle(session, 0);
    const sent = [];
    for (const text of texts) {
      const message = await engine.send(session, text);
      await engine.settled(message);
      sent.push(message);
    }
    await idle(session, texts.length);
    return { session, sent, calls: engine.simulator.calls.length };
  }

  test('with its signals adopts what was answered: the same conversation, nothing called twice', async () => {
    const { session, sent, calls } = await sessionWith('One', 'Two');
    const before = await engine.events(session);
    await reset(session, 'again');
    expect(await idle(session, 2)).toMatchObject({ head: sent[1]?.replyId });
    expect(await engine.events(session)).toEqual(before);
    expect(engine.simulator.calls).toHaveLength(calls);
    await engine.settled(await engine.send(session, 'Three'));
    expect(await questions(session)).toEqual(['One', 'Two', 'Three']);
  });

  test('without them grows a branch with the next message, and what was answered before stays', async () => {
    const { session, sent, calls } = await sessionWith('One', 'Two');
    await reset(session, 'not again');
    const three = await engine.send(session, 'Three');
    await engine.settled(three);
    expect(await questions(session)).toEqual(['One', 'Three']);
    expect(engine.simulator.calls).toHaveLength(calls + 1);
    for (const message of sent)
      expect(await engine.messageRow(message.replyId)).toMatchObject({ status: 'completed' });
    expect(await idle(session, 2)).toMatchObject({ head: three.replyId });
  });

  test('in the middle of a turn gives it up, and the session goes on', async () => {
    const { session } = await sessionWith('One');
    const forgotten = await engine.send(session, 'Forgotten [[tokens=20]][[silent_after=4]]');
    await engine.speaking(forgotten);
    await reset(session, 'not again');
    const next = await engine.send(session, 'Next');
    expect(await engine.settled(next)).toMatchObject({ status: 'completed' });
    expect(await engine.messageRow(forgotten.replyId)).toMatchObject({ status: 'interrupted' });
    expect(await questions(session)).toEqual(['One', 'Next']);
  });
});
