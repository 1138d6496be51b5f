// The outbox: what a transaction tells a workflow is sent although the process dies between its commit and the signal
// (docs/decisions/0027-outbox.md).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Engine } from '../../src/services/engine.ts';
import type { Tellable } from '../../src/stores/outbox.ts';
import { eventually } from '../support/api-client.ts';
import { type Made, SIGNAL_WORK } from '../support/signal-work.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

interface Sent {
  signal: string;
  session: string;
  argument: object;
}

let nowMs = Date.now();
let sent: Sent[] = [];
/** Signals that get lost on their way. */
const lost = new Set<string>();

async function take(signal: string, session: string, argument: object): Promise<void> {
  if (lost.has(signal)) throw new Error('lost');
  sent.push({ signal, session, argument });
}

const engine: Partial<Engine> = {
  start: ({ sessionId }) => take('start', sessionId, {}),
  signal: (name, { sessionId }, argument) => take(name, sessionId, argument),
};

let store: TestStore;
beforeEach(async () => {
  nowMs = Date.now();
  sent = [];
  lost.clear();
  store = await openTestStore({ now: () => nowMs, engine });
});
afterEach(() => store.close());

const rowsLeft = () => store.db.selectFrom('outbox').selectAll().execute();

describe('a process that is killed between the commit and the signal', () => {
  const script = join(__dirname, '..', 'support', 'killed-after-commit.cjs');

  async function killedAt(signal: string): Promise<Made> {
    const child = spawn(process.execPath, [script, store.file, signal], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [printed, failure] = [text(child.stdout), text(child.stderr)];
    const [code, killedBy] = await once(child, 'exit');
    expect({ code, killedBy, failure: await failure }).toEqual({
      code: null,
      killedBy: 'SIGKILL',
      failure: '',
    });
    // The clock of the one that follows.
    nowMs = Date.now();
    return JSON.parse(await printed) as Made;
  }

  test.each(Object.keys(SIGNAL_WORK) as (keyof Tellable)[])(
    'leaves a %s to the reconciler',
    async (signal) => {
      const made = await killedAt(signal);
      expect((await rowsLeft()).map((row) => row.signal)).toContain(signal);
      const next = await openTestStore({ file: store.file, now: () => nowMs, engine });
      await next.sweep.run();
      expect(sent).toEqual([]);
      nowMs += 6_000;
      await next.sweep.run();
      const found = sent.filter((each) => each.signal === signal);
      expect(found).toMatchObject([{ argument: made.argument }]);
      if (made.session !== '') expect(found[0]?.session).toBe(made.session);
      await next.outbox.flush();
      expect(await rowsLeft()).toEqual([]);
      await next.close();
    },
  );

  test('leaves it to the first pass of the process that follows, when no other works on the database', async () => {
    await killedAt('message');
    const next = await openTestStore({ file: store.file, now: () => nowMs, engine, isOnlyWorker: true });
    await next.sweep.run(true);
    expect(sent.map(({ signal }) => signal)).toContain('message');
    await next.close();
  });
});

describe('a signal', () => {
  test('is sent at once, with the row that the transaction wrote, and then the row is gone', async () => {
    const session = await store.createSession();
    await store.send(session, 'Hello', { on_busy: 'interrupt' });
    expect(sent.map(({ signal }) => signal)).toEqual(['start', 'message']);
    await eventually(
      () => store.unsent(session),
      (signals) => signals.length === 0,
    );
    nowMs += 60_000;
    sent = [];
    await store.sweep.run();
    expect(sent.filter(({ signal }) => signal === 'start')).toEqual([]);
  });

  test('of a transaction that fails is neither stored nor sent', async () => {
    const session = await store.createSession();
    await store.outbox.flush();
    sent = [];
    const failing = store.log.write(session, async (tx) => {
      tx.tell('interrupt', { replyId: 'msg_1' });
      await tx.flush();
      throw new Error('undone');
    });
    await expect(failing).rejects.toThrow('undone');
    expect([await rowsLeft(), sent]).toEqual([[], []]);
  });

  test('is sent although the transaction appended nothing', async () => {
    const session = await store.createSession();
    sent = [];
    await store.log.write(session, async (tx) => tx.tell('interrupt', { replyId: 'msg_1' }));
    expect(sent).toMatchObject([{ signal: 'interrupt', session, argument: { replyId: 'msg_1' } }]);
  });

  test('that is late is claimed by one of many reconcilers', async () => {
    lost.add('message');
    await store.send(await store.createSession());
    await store.outbox.flush();
    nowMs += 6_000;
    const claims = await Promise.all([1, 2, 3].map(() => store.outboxRows.claimLost(nowMs, nowMs)));
    expect(claims.flat().map(({ tell }) => tell.signal)).toEqual(['message']);
  });
});

describe('a lost signal', () => {
  test('of settings is replaced by those of a later change', async () => {
    const session = await store.createSession();
    lost.add('configure');
    await store.sessions.update(store.caller, session, { model: 'claude-opus-5' });
    lost.clear();
    await store.sessions.update(store.caller, session, { model: 'claude-sonnet-5' });
    await store.outbox.flush();
    nowMs += 6_000;
    sent = [];
    await store.sweep.run();
    expect([sent, await rowsLeft()]).toEqual([[], []]);
  });

  test('of a session that has ended is not sent, and a deleted session leaves no preview', async () => {
    const session = await store.createSession();
    lost.add('message').add('end');
    await store.send(session, 'Confidential');
    await store.sessions.delete(store.caller, session);
    expect(await store.unsent(session)).toEqual(['end']);
    expect(JSON.stringify(await rowsLeft())).not.toContain('Confidential');
  });

  test('of a message that interrupts is sent although its turn has begun and ended', async () => {
    const session = await store.createSession();
    const first = await store.send(session);
    await store.open(first, null);
    lost.add('message');
    await store.send(session, 'Rather this', { on_busy: 'interrupt' });
    lost.clear();
    await store.sessions.interrupt(store.caller, session);
    await store.outbox.flush();
    nowMs += 6_000;
    sent = [];
    await store.sweep.run();
    expect(sent).toMatchObject([{ signal: 'message', argument: { interrupts: first.replyId } }]);
  });
});
