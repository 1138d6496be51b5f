// Temporal resets, as operators make them (design 2a.13).
import { temporal } from '@temporalio/proto';
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';

const { ResetReapplyExcludeType } = temporal.api.enums.v1;

let engine: TestEngine;
beforeAll(async () => {
  engine = await startTestEngine();
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
    const { session, sent, calls } = await sessionWith('One', 'Two', 'Three');
    const before = await engine.events(session);
    await reset(session, 'again');
    expect(await idle(session, 3)).toMatchObject({ head: sent[2]?.replyId });
    expect(await engine.events(session)).toEqual(before);
    expect(engine.simulator.calls).toHaveLength(calls);
    await engine.settled(await engine.send(session, 'Four'));
    expect(await questions(session)).toEqual(['One', 'Two', 'Three', 'Four']);
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

  /** What clients see: the live branch, oldest first. */
  const listed = async (session: string) => {
    const page = { limit: 100, order: 'asc', after: null } as const;
    const { data } = await engine.messages.list(engine.caller, session, page);
    return data.map(({ content }) => content);
  };

  test('with its signals adopts a turn that was interrupted, and interrupts no other', async () => {
    const session = await engine.createSession();
    await idle(session, 0);
    const silent = await engine.send(session, 'One [[tokens=20]][[silent_after=4]]');
    await engine.speaking(silent);
    const instead = await engine.send(session, 'Two', { on_busy: 'interrupt' });
    await engine.settled(instead);
    await idle(session, 2);
    const [before, calls] = [await engine.events(session), engine.simulator.calls.length];
    await reset(session, 'again');
    expect(await idle(session, 2)).toMatchObject({ head: instead.replyId });
    expect(await engine.events(session)).toEqual(before);
    expect(engine.simulator.calls).toHaveLength(calls);
    await engine.settled(await engine.send(session, 'Three'));
    expect(await questions(session)).toEqual(['One [[tokens=20]][[silent_after=4]]', 'Two', 'Three']);
  });

  test('without them leaves the live branch as it is until the next turn begins', async () => {
    const { session } = await sessionWith('One', 'Two');
    const before = await listed(session);
    await reset(session, 'not again');
    await eventually(
      () => engine.state(session),
      (state) => state?.turns === 1,
    );
    expect(await listed(session)).toEqual(before);
    await engine.settled(await engine.send(session, 'Three'));
    expect(await listed(session)).toEqual([...before.slice(0, 2), 'Three', expect.stringMatching(/Three/)]);
  });

  test('in the middle of a turn, with its signals, tries the very same reply again', async () => {
    const { session } = await sessionWith('One');
    const message = await engine.send(session, 'Two [[tokens=20]][[silent_after=4]][[times=1]]');
    await engine.speaking(message);
    await reset(session, 'again');
    expect(await engine.settled(message)).toMatchObject({ status: 'completed' });
    const story = await engine.story(session, message.replyId);
    expect(story.filter((type) => !/delta/.test(type))).toEqual([
      ...['created', 'content_started', 'reset', 'content_ended', 'completed'],
    ]);
    expect((await questions(session)).map((text) => text.slice(0, 3))).toEqual(['One', 'Two']);
    expect(await idle(session, 2)).toMatchObject({ head: message.replyId });
  });

  test('leaves interrupts of replies behind that lie on the branch it has left', async () => {
    const { session, sent } = await sessionWith('One', 'Two');
    await reset(session, 'not again');
    const next = await engine.send(session, 'Three [[delay_ms=300]]');
    const to = await engine.engineSession(session);
    for (const { replyId } of sent) await engine.gateway.signal('interrupt', to, { replyId });
    expect(await engine.settled(next)).toMatchObject({ status: 'completed' });
    for (const { replyId } of sent)
      expect(await engine.messageRow(replyId)).toMatchObject({ status: 'completed' });
    expect(await questions(session)).toEqual(['One', 'Three [[delay_ms=300]]']);
  });
});
