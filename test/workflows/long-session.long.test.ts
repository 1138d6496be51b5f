// A session of thousands of messages: every run stays short, and the seams between runs can't be seen (acceptance test 46).
import type { Message } from '../../src/contracts/messages.ts';
import type { Model } from '../../src/models/port.ts';
import type { AcceptedMessage } from '../../src/services/ports.ts';
import { RUN_BOUNDS } from '../../workflows/protocol.ts';
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';
import { isGapFree, replyOf } from '../support/store.ts';

const MESSAGES = 5_000;
/** Clients that send at once; each waits for its answer before it sends again. */
const CLIENTS = 8;
/** Temporal warns from here on. */
const EVENTS_MAX = 10_240;
const BYTES_MAX = 10 * 1024 * 1024;
/** What a turn adds to its run's history, with the signals that come: 11 when it comes alone, less when turns follow each other. */
const EVENTS_PER_TURN_MAX = 12;

let calls = 0;
/** Answers at once: the session is what is measured. */
const model: Model = {
  async stream(_, { onText }) {
    calls += 1;
    onText('Yes.');
    return replyOf('Yes.');
  },
};

let engine: TestEngine;
beforeAll(async () => {
  engine = await startTestEngine({ model });
});
afterAll(() => engine.stop());

async function sayAgain(session: string, message: AcceptedMessage | undefined): Promise<void> {
  if (message)
    await engine.gateway.signal(
      'message',
      await engine.engineSession(session),
      await engine.signalOf(message),
    );
}

/** However long it takes: the test's own timeout is the bound. */
async function answerOf(message: AcceptedMessage): Promise<Message> {
  const never = new AbortController().signal;
  for (;;) {
    const { message: reply, settled } = await engine.messages.waitForReply(message, never);
    if (settled) return reply;
  }
}

/** Sends and waits in turns; now and then a word comes twice, also to a later run, and settings change. */
async function converse(session: string, next: () => number | undefined, sent: AcceptedMessage[]) {
  for (let n = next(); n !== undefined; n = next()) {
    const message = await engine.send(session, `Message ${n}`);
    sent.push(message);
    expect(await answerOf(message)).toMatchObject({ status: 'completed' });
    if (n % 20 === 0) await sayAgain(session, sent[n - 20]);
    if (n % 20 === 10) await engine.sessions.update(engine.caller, session, { metadata: { n: `${n}` } });
  }
}

async function runsOf(session: string) {
  const ids = [];
  const runs = engine.client.workflow.list({ query: `WorkflowId = '${session}'` });
  for await (const { runId } of runs) ids.push(runId);
  const describe = (runId: string) => engine.client.workflow.getHandle(session, runId).describe();
  return Promise.all(ids.map(describe));
}

async function expectWholeConversation(session: string): Promise<void> {
  const branch = (await engine.rows.branch((await engine.sessionRow(session)).head)).reverse();
  expect(branch).toHaveLength(2 * MESSAGES);
  const questions = branch.filter((row) => row.role === 'user');
  expect(new Set(questions.map((row) => row.text)).size).toBe(MESSAGES);
  expect(questions.map((row) => row.position)).toEqual(questions.map((_, index) => index + 1));
  expect(isGapFree(await engine.events(session))).toBe(true);
}

test(`${MESSAGES} messages of ${CLIENTS} clients: none lost, none doubled, in runs that stay short`, async () => {
  const session = await engine.createSession();
  const sent: AcceptedMessage[] = [];
  let count = 0;
  const next = () => {
    if (count === MESSAGES) return undefined;
    count += 1;
    return count;
  };
  await Promise.all(Array.from({ length: CLIENTS }, () => converse(session, next, sent)));
  const state = await engine.rebuiltState(session, ({ running, queue }) => !running && queue.length === 0);
  expect([state.turns, calls]).toEqual([MESSAGES, MESSAGES]);
  await expectWholeConversation(session);

  const runs = await eventually(
    () => runsOf(session),
    (found) => found.length > MESSAGES / RUN_BOUNDS.turnsPerRunMax,
  );
  for (const { raw, historyLength } of runs) {
    expect(historyLength).toBeLessThan(EVENTS_MAX);
    expect(Number(raw.workflowExecutionInfo?.historySizeBytes)).toBeLessThan(BYTES_MAX);
  }
  const events = runs.reduce((sum, { historyLength }) => sum + historyLength, 0);
  expect(events / MESSAGES).toBeLessThan(EVENTS_PER_TURN_MAX);
}, 900_000);
