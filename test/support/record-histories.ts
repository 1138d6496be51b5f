// Records what the present workflow code does in its main shapes, for later code to replay.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { Model } from '../../src/models/port.ts';
import type { AcceptedMessage } from '../../src/services/ports.ts';
import { endpointWorkflowId, RUN_MS_MIN, type RunBounds } from '../../workflows/protocol.ts';
import { eventually } from './api-client.ts';
import { startTestEngine, type TestEngine } from './engine.ts';
import { startReceiver } from './receiver.ts';

/** Where a run came from is nobody's business, and would make every record differ. */
const MACHINE_FACTS = ['identity', 'stackTrace', 'workerInstanceKey', 'buildId'];

interface Shape {
  name: string;
  runBounds?: Partial<RunBounds>;
  /** Instead of the simulator. */
  model?: Model;
  /** Lets it happen. @returns the session, and the run that is meant when it is not the last one. */
  happen(engine: TestEngine): Promise<string | { session: string; runId: string }>;
}

const idle = (engine: TestEngine, session: string, turns: number) =>
  engine.rebuiltState(
    session,
    (state) => state.turns === turns && !state.running && state.queue.length === 0,
  );

async function sessionWith(engine: TestEngine, texts: string[], fields = {}): Promise<string> {
  const session = await engine.createSession(fields);
  await idle(engine, session, 0);
  for (const text of texts) await engine.settled(await engine.send(session, text));
  await idle(engine, session, texts.length);
  return session;
}

/** Three turns, the third in a second run. @returns the session and its first run. */
async function continuedSession(engine: TestEngine) {
  const session = await sessionWith(engine, []);
  const { runId } = await engine.handle(session).describe();
  const sent = [];
  for (const text of ['One', 'Two', 'Three']) sent.push(await engine.send(session, text));
  await Promise.all(sent.map((message) => engine.settled(message)));
  await idle(engine, session, 3);
  return { session, runId };
}

const LOOK_UP = { name: 'look_up', description: 'Looks something up', parameters: { type: 'object' } };
const CALL = 'use tool look_up {}';

/** The calls of a reply that waits for its client. */
const waiting = (engine: TestEngine, { replyId }: AcceptedMessage) =>
  eventually(
    () => engine.rows.openToolCalls(replyId),
    (calls) => calls.length > 0,
  );

async function submitAll(engine: TestEngine, session: string, message: AcceptedMessage): Promise<void> {
  const calls = (await waiting(engine, message)).filter(({ type }) => type === 'custom');
  const results = calls.map(({ id }) => ({ tool_call_id: id, result: 'found' }));
  await engine.services.toolCalls.submit(engine.caller, session, { results }, null);
}

const over = (engine: TestEngine, session: string) => engine.handle(session).result();

const SHAPES: Shape[] = [
  {
    name: '001-turns-and-an-idle-end',
    happen: (engine) => sessionWith(engine, ['One', 'Two', 'Three']),
  },
  {
    name: '002-messages-queued-behind-a-turn',
    async happen(engine) {
      const session = await sessionWith(engine, []);
      const sent = [];
      for (const text of ['One [[delay_ms=300]]', 'Two', 'Three'])
        sent.push(await engine.send(session, text));
      await Promise.all(sent.map((message) => engine.settled(message)));
      await idle(engine, session, 3);
      return session;
    },
  },
  {
    name: '003-signals-that-overtake-each-other',
    async happen(engine) {
      const session = await sessionWith(engine, []);
      engine.lost.add('message');
      const [one, two] = [await engine.send(session, 'One'), await engine.send(session, 'Two')];
      engine.lost.clear();
      const to = await engine.engineSession(session);
      await engine.gateway.signal('message', to, await engine.signalOf(two));
      await engine.settled(two);
      await engine.gateway.signal('message', to, await engine.signalOf(one));
      await idle(engine, session, 2);
      return session;
    },
  },
  {
    name: '004-interrupt-of-a-silent-model',
    async happen(engine) {
      const session = await sessionWith(engine, ['One']);
      const silent = await engine.send(session, 'Two [[tokens=9]][[silent_after=4]]');
      await engine.speaking(silent);
      const next = await engine.send(session, 'Three');
      await engine.sessions.interrupt(engine.caller, session);
      await engine.settled(next);
      await idle(engine, session, 3);
      return session;
    },
  },
  {
    name: '005-retries-and-a-final-failure',
    happen: (engine) =>
      sessionWith(engine, ['Cut [[tokens=9]][[cut_after=3]][[times=1]]', 'No [[status=400]]', 'Yes']),
  },
  {
    name: '006-continues-as-new',
    runBounds: { turnsPerRunMax: 2 },
    happen: continuedSession,
  },
  {
    name: '006-was-continued-as-new',
    runBounds: { turnsPerRunMax: 2 },
    happen: async (engine) => (await continuedSession(engine)).session,
  },
  {
    name: '007-settings-changed-and-completed',
    async happen(engine) {
      const session = await sessionWith(engine, ['One'], { expires_after_seconds: 3_600 });
      await engine.sessions.update(engine.caller, session, { model: 'claude-opus-4-6' });
      await engine.rebuiltState(session, (state) => state.model === 'claude-opus-4-6');
      await engine.sessions.complete(engine.caller, session);
      await over(engine, session);
      return session;
    },
  },
  {
    name: '008-ended-in-the-middle-of-a-turn',
    async happen(engine) {
      const session = await sessionWith(engine, []);
      await engine.speaking(await engine.send(session, 'One [[tokens=9]][[silent_after=4]]'));
      await engine.send(session, 'Two');
      await engine.sessions.archive(engine.caller, session);
      await over(engine, session);
      return session;
    },
  },
  {
    name: '009-rebuilt-after-its-run-was-terminated',
    async happen(engine) {
      const session = await sessionWith(engine, ['One']);
      const silent = await engine.send(session, 'Two [[tokens=9]][[silent_after=4]][[times=1]]');
      await engine.speaking(silent);
      await engine.handle(session).terminate('recorded');
      engine.clock.aheadMs = 31_000;
      await engine.sweep.run();
      await engine.settled(silent);
      await idle(engine, session, 1);
      return session;
    },
  },
  {
    name: '010-expired',
    async happen(engine) {
      const session = await sessionWith(engine, ['One'], { expires_after_seconds: 3_600 });
      const soon = Date.now() + 1_000;
      await engine.log.write(session, async (tx) => tx.patch({ expires_at: soon }));
      const { model } = await engine.sessionRow(session);
      await engine.gateway.signal('configure', await engine.engineSession(session), {
        model,
        expiresAtMs: soon,
      });
      await over(engine, session);
      return session;
    },
  },
  {
    name: '011-a-message-that-interrupts',
    async happen(engine) {
      const session = await sessionWith(engine, ['One']);
      await engine.speaking(await engine.send(session, 'Two [[tokens=9]][[silent_after=4]]'));
      await engine.settled(await engine.send(session, 'Three', { on_busy: 'interrupt' }));
      await idle(engine, session, 3);
      return session;
    },
  },
  {
    name: '012-interrupted-while-it-waits-for-its-next-try',
    async happen(engine) {
      const session = await sessionWith(engine, ['One']);
      await engine.send(session, 'Two [[status=529 retry_after=60]]');
      await eventually(
        () => engine.gateway.state(session),
        (found) => found?.activity?.attempt === 2,
      );
      await engine.send(session, 'Three', { on_busy: 'steer' });
      await engine.sessions.interrupt(engine.caller, session);
      await idle(engine, session, 3);
      return session;
    },
  },
  {
    name: '013-an-activity-that-failed-for-good',
    model: { stream: () => Promise.reject(ApplicationFailure.nonRetryable('A bug')) },
    happen: (engine) => sessionWith(engine, ['One', 'Two']),
  },
  {
    name: '014-tools-with-a-result-and-without-one',
    async happen(engine) {
      const session = await sessionWith(engine, [], { tools: [{ ...LOOK_UP, timeout_seconds: 1 }] });
      await submitAll(engine, session, await engine.send(session, `${CALL} and ${CALL}`));
      await idle(engine, session, 1);
      await engine.settled(await engine.send(session, CALL));
      await idle(engine, session, 2);
      return session;
    },
  },
  {
    name: '015-waits-for-tools-across-runs',
    runBounds: { turnsPerRunMax: 1 },
    async happen(engine) {
      const session = await sessionWith(engine, [], { tools: [LOOK_UP] });
      const { runId } = await engine.handle(session).describe();
      const message = await engine.send(session, `[[rounds=2]] ${CALL}`);
      await submitAll(engine, session, message);
      await submitAll(engine, session, message);
      await engine.settled(message);
      await idle(engine, session, 1);
      return { session, runId };
    },
  },
  {
    name: '016-interrupted-while-it-waits-for-a-tool',
    async happen(engine) {
      const session = await sessionWith(engine, [], { tools: [LOOK_UP] });
      await waiting(engine, await engine.send(session, CALL));
      await engine.sessions.interrupt(engine.caller, session);
      await engine.settled(await engine.send(session, 'Two'));
      await idle(engine, session, 2);
      return session;
    },
  },
  {
    name: '017-a-built-in-tool-beside-one-of-the-client',
    async happen(engine) {
      const session = await sessionWith(engine, [], { tools: ['calculator', LOOK_UP] });
      const message = await engine.send(session, `${CALL} and use tool calculator {"expression":"6 * 7"}`);
      await submitAll(engine, session, message);
      await engine.settled(message);
      await idle(engine, session, 1);
      return session;
    },
  },
  {
    name: '018-interrupted-while-a-built-in-tool-runs',
    async happen(engine) {
      const session = await sessionWith(engine, [], { tools: ['calculator'] });
      const endless = 'use tool calculator {"expression":"combinations(1e9, 5e8)"}';
      const { replyId } = await engine.send(session, endless);
      await eventually(
        () => engine.rows.toolCalls([replyId]),
        (calls) => calls.length > 0,
      );
      await engine.sessions.interrupt(engine.caller, session);
      await engine.settled(await engine.send(session, 'Two'));
      await idle(engine, session, 2);
      return session;
    },
  },
  {
    name: '019-webhooks-are-sent-beside-a-turn',
    async happen(engine) {
      const receiver = await startReceiver();
      await engine.createWebhook({ url: receiver.url });
      const session = await sessionWith(engine, ['One']);
      await engine.sessions.complete(engine.caller, session);
      await over(engine, session);
      await receiver.stop();
      return session;
    },
  },
  {
    name: '020-an-endpoint-that-was-busy',
    async happen(engine) {
      const receiver = await startReceiver();
      receiver.answer((_request, response) => {
        const isFirst = receiver.received.length === 1;
        response.writeHead(isFirst ? 503 : 200, isFirst ? { 'retry-after': '1' } : {}).end();
      });
      const { id } = await engine.createWebhook({ url: receiver.url, events: ['session.created'] });
      await engine.createSession();
      await receiver.until((all) => all.length === 2);
      const endpoint = engine.client.workflow.getHandle(endpointWorkflowId(id));
      await endpoint.result();
      await receiver.stop();
      return endpoint.workflowId;
    },
  },
  {
    name: '021-another-run-goes-on-when-it-is-quiet',
    runBounds: { turnsPerRunMax: 1, quietMs: 1 },
    happen: (engine) => firstRun(engine, ['One']),
  },
  {
    name: '022-another-run-goes-on-with-the-next-message',
    runBounds: { turnsPerRunMax: 1, quietMs: 60_000 },
    happen: (engine) => firstRun(engine, ['One', 'Two']),
  },
  {
    name: '023-results-come-before-it-is-quiet',
    runBounds: { eventsPerRunMax: 1, quietMs: 60_000 },
    async happen(engine) {
      const session = await sessionWith(engine, [], { tools: [LOOK_UP] });
      const { runId } = await engine.handle(session).describe();
      const message = await engine.send(session, CALL);
      await waiting(engine, message);
      await untilQuiet(engine, session);
      await submitAll(engine, session, message);
      await engine.settled(message);
      return { session, runId };
    },
  },
];

/** @returns the first run of a session, when it is over. */
async function firstRun(engine: TestEngine, texts: string[]) {
  const session = await sessionWith(engine, []);
  const { runId } = await engine.handle(session).describe();
  for (const text of texts) await engine.settled(await engine.send(session, text));
  await eventually(
    () => engine.handle(session).describe(),
    (now) => now.runId !== runId,
  );
  return { session, runId };
}

/** Makes a run that waits for results look whether it is long enough, when it is old enough, and waits until it waits for quiet. */
async function untilQuiet(engine: TestEngine, session: string): Promise<void> {
  const run = engine.handle(session);
  await eventually(
    () => run.describe(),
    ({ startTime }) => Date.now() - Number(startTime) > RUN_MS_MIN,
  );
  await engine.sessions.update(engine.caller, session, { metadata: { look: 'now' } });
  await eventually(
    () => run.fetchHistory(),
    ({ events }) => events?.some(({ timerStartedEventAttributes }) => timerStartedEventAttributes) ?? false,
  );
}

export const historyFiles = SHAPES.map(({ name }) => `${name}.json`);

/** Keeps what replaying needs. */
function withoutMachineFacts(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutMachineFacts);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([name]) => !MACHINE_FACTS.includes(name));
  return Object.fromEntries(entries.map(([name, inner]) => [name, withoutMachineFacts(inner)]));
}

/** Records each shape that has no record yet: a record that later code breaks is mended there, never recorded anew. */
export async function recordHistories(directory: string): Promise<void> {
  for (const { name, happen, ...options } of SHAPES) {
    const file = join(directory, `${name}.json`);
    if (existsSync(file)) continue;
    const engine = await startTestEngine(options);
    const happened = await happen(engine);
    const { session, runId } =
      typeof happened === 'string' ? { session: happened, runId: undefined } : happened;
    // What a turn leaves behind reaches the history a moment later.
    const history = await eventually(
      () => engine.client.workflow.getHandle(session, runId).fetchHistory(),
      ({ events }) => !events?.at(-1)?.workflowTaskScheduledEventAttributes,
    );
    const record = withoutMachineFacts(JSON.parse(historyToJSON(history)));
    writeFileSync(file, `${JSON.stringify(record, null, 1)}\n`);
    await engine.stop();
  }
}
