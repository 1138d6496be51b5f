// The store, a real Temporal worker and the simulator in this process, without HTTP: every part is in the test's hands.
import { Client } from '@temporalio/client';
import { pino } from 'pino';
import { type Activities, createActivities } from '../../activities/index.ts';
import { randomText } from '../../src/ids.ts';
import { createAnthropicModel } from '../../src/models/anthropic.ts';
import type { Model } from '../../src/models/port.ts';
import { startSimulator } from '../../src/models/simulator.ts';
import { type Engine, engineSession } from '../../src/services/engine.ts';
import type { AcceptedMessage } from '../../src/services/ports.ts';
import { connectTemporal } from '../../src/temporal/connection.ts';
import { createSessionGateway } from '../../src/temporal/session-gateway.ts';
import { type SessionWorker, startWorkers } from '../../src/temporal/worker.ts';
import type { ToolRegistry } from '../../src/tools/registry.ts';
import type { MessageSignal, RunBounds, SessionState, SignalName } from '../../workflows/protocol.ts';
import { rebuild, rebuildable } from '../../workflows/session-state.ts';
import { eventually } from './api-client.ts';
import { readRunFile } from './run-file.ts';
import { openTestStore } from './store.ts';

export type TestEngine = Awaited<ReturnType<typeof startTestEngine>>;

export interface TestEngineOptions {
  /** Another Temporal server than the run's. */
  address?: string;
  runBounds?: Partial<RunBounds>;
  showPreviews?: boolean;
  /** Instead of the simulator behind the real adapter. */
  model?: Model;
  /** The tools that workers run, instead of the product's. */
  registry?: ToolRegistry;
  /** What the worker runs instead of these activities. */
  around?: (activities: Activities) => Partial<Activities>;
  /** The worker is started by the test. */
  idle?: boolean;
  now?: () => number;
}

type Told = SignalName | 'start' | 'endpoint';

/** Passes on what the services tell workflows, unless the test lets it get lost. */
function lossy(engine: Engine, lost: Set<Told>): Engine {
  function check(name: Told): void {
    if (lost.has(name)) throw new Error(`The test loses every '${name}'`);
  }
  return {
    ...engine,
    async start(session) {
      check('start');
      return engine.start(session);
    },
    async signal(name, session, argument) {
      check(name);
      return engine.signal(name, session, argument);
    },
    async endpoint(webhookId) {
      check('endpoint');
      return engine.endpoint(webhookId);
    },
  };
}

export async function startTestEngine(options: TestEngineOptions = {}) {
  const run = readRunFile();
  const { showPreviews = true, runBounds } = options;
  const logger = pino({ level: process.env.TEST_LOG ?? 'silent' });
  const taskQueue = `test-${randomText(12)}`;
  const identity = `test-${randomText(12)}`;
  const where = { connection: { address: options.address ?? run.address }, namespace: 'default', taskQueue };
  const temporal = await connectTemporal(where.connection, logger);
  const client = new Client({ connection: temporal.connection, namespace: where.namespace });
  const gateway = createSessionGateway({
    ...{ client, temporal, taskQueue, namespace: where.namespace, uiUrl: null, runBounds },
  });
  const lost = new Set<Told>();
  const clock = { aheadMs: 0 };
  const now = options.now ?? (() => Date.now() + clock.aheadMs);
  const store = await openTestStore({ now, engine: lossy(gateway, lost), showPreviews, worker: identity });
  const simulator = await startSimulator({ echoOnly: true, tokenMs: 0 });
  const adapter = createAnthropicModel({ apiKey: 'test', baseUrl: simulator.url });
  const { turns, log, rows: messages, catalogue, checker } = store;
  const registry = options.registry ?? store.registry;
  const own = createActivities({
    ...{ model: options.model ?? adapter, turns, log, messages, catalogue, checker, registry, showPreviews },
    worker: identity,
    isUnderWay: gateway.isUnderWay,
    ...store.sending,
    now,
  });
  const activities = { ...own, ...options.around?.(own) };
  let worker: SessionWorker | undefined;

  async function startWorker(): Promise<void> {
    const { bundlePath } = run;
    worker = await startWorkers({ ...where, bundlePath, activities, identity, log: logger });
  }
  if (!options.idle) await startWorker();

  const state = async (sessionId: string): Promise<SessionState | undefined> =>
    (await gateway.state(sessionId))?.answer.state;

  const isOver = (status: string) => ['completed', 'interrupted', 'failed'].includes(status);

  return {
    ...store,
    ...{ client, gateway, simulator, taskQueue, state, startWorker },
    /** What is told to workflows while it is in here never arrives. */
    lost,
    /** How far the store's and the sweep's clock is ahead; the workflows' is not. */
    clock,
    handle: (sessionId: string) => client.workflow.getHandle(sessionId),
    stopWorker: async () => worker?.stop(),

    /** The reply, when its turn is over. */
    settled: ({ replyId }: Pick<AcceptedMessage, 'replyId'>, timeoutMs?: number) =>
      eventually(
        () => store.messageRow(replyId),
        (row) => isOver(row.status),
        timeoutMs,
      ),

    /** The reply, when its readers have been sent some text. */
    speaking: (message: AcceptedMessage) =>
      eventually(
        () => store.story(message.sessionId, message.replyId),
        (story) => story.includes('delta'),
      ),

    /** What the services would tell the workflow of a message. */
    async signalOf(message: AcceptedMessage): Promise<MessageSignal> {
      const row = await store.messageRow(message.userMessageId);
      const { expires_at } = await store.sessionRow(message.sessionId);
      const ids = { messageId: row.id, replyId: message.replyId, position: row.position ?? 0 };
      return { ...ids, preview: row.text, expiresAtMs: expires_at };
    },

    engineSession: async (sessionId: string) => engineSession(await store.sessionRow(sessionId)),

    /** The workflow's state when it satisfies and the store would rebuild the very same. */
    async rebuiltState(
      sessionId: string,
      satisfied: (state: SessionState) => boolean,
    ): Promise<SessionState> {
      const both = async () => {
        const carried = await state(sessionId);
        const snapshot = await store.turns.snapshot(sessionId, showPreviews);
        return { carried, rebuilt: snapshot && rebuild(snapshot) };
      };
      const same = ({ carried, rebuilt }: Awaited<ReturnType<typeof both>>) =>
        !!carried &&
        !!rebuilt &&
        satisfied(carried) &&
        JSON.stringify(rebuildable(carried)) === JSON.stringify(rebuildable(rebuilt));
      return (await eventually(both, same)).carried as SessionState;
    },

    async stop(): Promise<void> {
      await worker?.stop();
      await temporal.close();
      await store.close();
      await adapter.close();
      await simulator.close();
    },
  };
}
