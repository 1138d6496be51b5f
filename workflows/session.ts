// The workflow of one session. Signals only change state, one loop runs turns and waits, and the state is pure.
import { defineSearchAttributeKey } from '@temporalio/common';
import * as wf from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { DELIVERIES, MODEL_STEP, STORE_STEP, TOOL_CALL } from './activity-options.ts';
import {
  type ConfigureSignal,
  type DeliverInput,
  type EndSignal,
  type InterruptSignal,
  type MessageSignal,
  type PendingCall,
  QUERIES,
  type ReplyInput,
  RUN_BOUNDS,
  RUN_MS_MIN,
  type RunningTurn,
  SEARCH_ATTRIBUTES,
  type SessionInput,
  type SessionState,
  type SessionStateAnswer,
  SIGNALS,
  type ToolResultSignal,
  toolsTaskQueue,
  webhooksTaskQueue,
} from './protocol.ts';

import {
  configured,
  currentDetails,
  hasEnded,
  interruptAsked,
  messageArrived,
  missing,
  namesOf,
  nextStep,
  rebuild,
  resultArrived,
  toolsCalled,
  turnFinished,
  turnStarted,
} from './session-state.ts';
import { describe, runTurn, type TurnEffects } from './turn.ts';

const model = wf.proxyActivities<Pick<Activities, 'modelStep'>>(MODEL_STEP);
const tools = wf.proxyActivities<Pick<Activities, 'toolCall'>>(TOOL_CALL);
const webhooks = wf.proxyActivities<Pick<Activities, 'deliver'>>(DELIVERIES);
const store =
  wf.proxyLocalActivities<
    Pick<Activities, 'snapshot' | 'interrupt' | 'failReply' | 'expire' | 'expireCalls' | 'failToolCall'>
  >(STORE_STEP);

/** The bound for runs that started without `turnsPerRunMax` in their input. */
const TURNS_PER_EARLY_RUN_MAX = 300;

const statusAttribute = defineSearchAttributeKey(SEARCH_ATTRIBUTES.status, 'KEYWORD');
const modelAttribute = defineSearchAttributeKey(SEARCH_ATTRIBUTES.model, 'KEYWORD');

interface Run {
  input: SessionInput;
  /** Undefined until the snapshot is loaded. Earlier signals wait in `early`. */
  state: SessionState | undefined;
  early: ((state: SessionState) => SessionState)[];
  /**
   * Resolves when the running turn must stop. Each turn has its own trigger: an abandoned condition would be evaluated
   * forever.
   */
  stop: wf.Trigger<'interrupted' | 'ended'> | undefined;
  sinceMs: number;
  stepsInRun: number;
  webhooks: {
    /** Events were written for delivery after the last sending activity that could have found them. */
    isDue: boolean;
    /** Sending activities in flight. */
    sending: number;
  };
}

function transition(run: Run, change: (state: SessionState) => SessionState): void {
  if (!run.state) {
    run.early.push(change);
    return;
  }
  const before = run.state;
  run.state = change(before);
  if (before.running?.messageId !== run.state.running?.messageId) run.sinceMs = Date.now();
  if (before.model !== run.state.model)
    wf.upsertSearchAttributes([{ key: modelAttribute, value: run.state.model }]);
  if (before !== run.state) wf.setCurrentDetails(currentDetails(run.state));
  checkStop(run);
}

/** Why the running turn must stop, if a signal requested a stop. */
function stopReason({ state }: Run): 'interrupted' | 'ended' | undefined {
  if (!state?.running) return undefined;
  if (state.ended) return 'ended';
  return state.interrupts.includes(state.running.replyId) ? 'interrupted' : undefined;
}

function checkStop(run: Run): void {
  const reason = stopReason(run);
  if (reason) run.stop?.resolve(reason);
}

/**
 * Sending activities in flight at once. While one activity waits for a slow endpoint, another sends to other endpoints.
 * The store assigns the rows, so each delivery has one sender.
 */
const SENDERS_MAX = 4;

/**
 * Sends due deliveries in parallel with the session's other work. The session can't repair a failed sender, so failures
 * are ignored.
 */
async function send(run: Run, left: Pick<DeliverInput, 'isLeft'> = {}): Promise<void> {
  const { sessionId } = run.input;
  const taskQueue = webhooksTaskQueue(wf.workflowInfo().taskQueue);
  run.webhooks.isDue = false;
  run.webhooks.sending += 1;
  try {
    await webhooks.deliver.executeWithOptions({ summary: 'webhooks', taskQueue }, [{ sessionId, ...left }]);
  } catch (error) {
    // The rows stay, and the reconciler finds them.
    if (!(error instanceof wf.ActivityFailure)) throw error;
  }
  run.webhooks.sending -= 1;
  if (run.webhooks.isDue) sendLater(run);
}

function sendLater(run: Run): void {
  run.webhooks.isDue = true;
  // A bug stalls the workflow task here as anywhere, because the SDK handles unhandled rejections.
  if (run.webhooks.sending < SENDERS_MAX) void send(run);
}

const isSent = ({ webhooks: { isDue, sending } }: Run): boolean => !isDue && sending === 0;

function answer(run: Run): SessionStateAnswer | null {
  const { state } = run;
  if (!state) return null;
  const calls = missing(state);
  const since = calls.flatMap(({ sinceMs }) => sinceMs ?? []);
  const sinceMs = since.length > 0 ? Math.min(...since) : run.sinceMs;
  return { phase: phaseOf(state), reason: state.ended ?? reasonOf(state, calls), sinceMs, state };
}

function reasonOf({ running }: SessionState, calls: PendingCall[]): string | null {
  if (!running) return null;
  if (calls.length > 0) return `waiting for ${namesOf(calls)}, called by model step ${running.step}`;
  return `answering ${running.messageId}, model step ${running.step}`;
}

function phaseOf({ ended, running }: SessionState): SessionStateAnswer['phase'] {
  if (ended) return 'ended';
  if (!running) return 'idle';
  return (running.calls?.length ?? 0) > 0 ? 'waiting_tool' : 'running';
}

function listen(run: Run): void {
  wf.setHandler(wf.defineSignal<[MessageSignal]>(SIGNALS.message), (signal) =>
    transition(run, (state) => messageArrived(state, signal)),
  );
  wf.setHandler(wf.defineSignal<[ToolResultSignal]>(SIGNALS.toolResult), ({ callId }) =>
    transition(run, (state) => resultArrived(state, callId)),
  );
  wf.setHandler(wf.defineSignal<[ConfigureSignal]>(SIGNALS.configure), (signal) =>
    transition(run, (state) => configured(state, signal)),
  );
  wf.setHandler(wf.defineSignal<[EndSignal]>(SIGNALS.end), ({ reason, isDue }) => {
    if (isDue) sendLater(run);
    transition(run, (state) => hasEnded(state, reason));
  });
  wf.setHandler(wf.defineSignal(SIGNALS.deliver), () => sendLater(run));
  wf.setHandler(wf.defineSignal<[InterruptSignal]>(SIGNALS.interrupt), ({ replyId }) =>
    transition(run, (state) => interruptAsked(state, replyId)),
  );
  wf.setHandler(wf.defineQuery<SessionStateAnswer | null>(QUERIES.state), () => answer(run));
}

/** Loads the carried state or the store's snapshot, then applies the signals that arrived before. */
async function load(run: Run): Promise<SessionState> {
  const { carried, sessionId } = run.input;
  const state = carried ?? rebuild(await store.snapshot({ sessionId }));
  run.state = state;
  for (const change of run.early.splice(0)) transition(run, change);
  wf.setCurrentDetails(currentDetails(run.state));
  return run.state;
}

/** Waits for the results of open calls. A wait of any length costs only the row and a timer. */
async function results(run: Run): ReturnType<TurnEffects['results']> {
  const calls = () => (run.state ? missing(run.state) : []);
  // Continue-as-new would rerun a built-in tool in flight.
  const isFullAndIdle = () => isFull(run) && !calls().some(({ isBuiltIn }) => isBuiltIn);
  const woken = () => stopReason(run) !== undefined || calls().length === 0 || isFullAndIdle();
  const deadline = Math.min(...calls().map(({ expiresAtMs }) => expiresAtMs ?? Number.POSITIVE_INFINITY));
  if (deadline === Number.POSITIVE_INFINITY) await wf.condition(woken);
  else {
    const summary = `wait for ${namesOf(calls().filter(({ expiresAtMs }) => expiresAtMs === deadline))}`;
    if (!(await wf.condition(woken, Math.max(deadline - Date.now(), 1), { summary }))) return 'expired';
  }
  const outcome = () => stopReason(run) ?? (calls().length === 0 ? 'all' : 'full');
  if (outcome() === 'full') await untilQuiet(run, () => outcome() !== 'full');
  return outcome();
}

/** Moves the turn to its next step. */
function stepOn(run: Run): RunningTurn {
  transition(run, nextStep);
  run.stepsInRun += 1;
  const running = run.state?.running;
  if (!running) throw new Error('A turn that waited for results has gone');
  return running;
}

/** Starts the built-in tools that are called and not yet running. */
function createToolRunner(run: Run, scope: wf.CancellationScope) {
  const started = new Set<string>();
  const taskQueue = toolsTaskQueue(wf.workflowInfo().taskQueue);

  async function runTool(reply: ReplyInput, { callId, name }: PendingCall): Promise<void> {
    const call = { sessionId: reply.sessionId, replyId: reply.replyId, callId };
    try {
      await scope.run(() => tools.toolCall.executeWithOptions({ summary: name, taskQueue }, [call]));
    } catch (error) {
      if (wf.isCancellation(error)) return;
      if (!(error instanceof wf.ActivityFailure)) throw error;
      await store.failToolCall({ ...call, reason: describe(error) });
    }
    transition(run, (state) => resultArrived(state, callId));
  }

  return (reply: ReplyInput): void => {
    for (const call of run.state?.running?.calls ?? []) {
      if (!call.isBuiltIn || started.has(call.callId)) continue;
      started.add(call.callId);
      // A bug stalls the workflow task here as anywhere, because the SDK handles unhandled rejections.
      void runTool(reply, call);
    }
  };
}

function effectsOf(run: Run, stop: wf.Trigger<'interrupted' | 'ended'>, summary: string): TurnEffects {
  const scope = new wf.CancellationScope();
  return {
    runTools: createToolRunner(run, scope),
    called: (step) => transition(run, (state) => toolsCalled(state, step)),
    results: () => results(run),
    expireCalls: (reply) => store.expireCalls({ ...reply, nowMs: Date.now() }),
    nextStep: () => stepOn(run),
    isFull: () => isFull(run),
    modelStep: (step) => scope.run(() => model.modelStep.executeWithOptions({ summary }, [step])),
    interrupt: (reply) => store.interrupt(reply),
    fail: (reply) => store.failReply(reply),
    isStepFailure: (error) => error instanceof wf.ActivityFailure,
    cancelSteps: () => scope.cancel(),
    stopped: () => stop,
  };
}

async function turn(run: Run): Promise<void> {
  const stop = new wf.Trigger<'interrupted' | 'ended'>();
  run.stop = stop;
  transition(run, turnStarted);
  checkStop(run);
  const running = run.state?.running;
  if (!run.state || !running) return;
  const context = { sessionId: run.input.sessionId, head: run.state.head };
  const summary = running.preview === '' ? running.messageId : running.preview;
  const result = await runTurn(running, context, effectsOf(run, stop, summary));
  run.stop = undefined;
  if (result === 'continue') return;
  run.stepsInRun += 1;
  transition(run, (state) => turnFinished(state, result));
}

/** A message is queued, or the session has ended. */
const isWanted = ({ state }: Run): boolean => !!state && (state.queue.length > 0 || state.ended !== null);

/** Waits for work or for the idle deadline. At the deadline the store decides whether the session expires. */
async function idle(run: Run, state: SessionState): Promise<void> {
  const woken = () => isWanted(run) || run.state?.expiresAtMs !== state.expiresAtMs;
  if (state.expiresAtMs === null) return wf.condition(woken);
  const waitMs = Math.max(state.expiresAtMs - Date.now(), 1);
  if (await wf.condition(woken, waitMs, { summary: 'idle until the session expires' })) return;
  const nowMs = Date.now();
  const result = await store.expire({ sessionId: run.input.sessionId, nowMs });
  if (result.ended && result.isDue) sendLater(run);
  transition(run, (now) =>
    result.ended
      ? hasEnded(now, result.ended)
      : { ...now, expiresAtMs: now.queue.length > 0 ? null : result.expiresAtMs },
  );
}

function isFull({ input, stepsInRun }: Run): boolean {
  const { historyLength, runStartTime, continueAsNewSuggested } = wf.workflowInfo();
  const { turnsPerRunMax = TURNS_PER_EARLY_RUN_MAX, eventsPerRunMax = Number.POSITIVE_INFINITY } = input;
  const isLong = historyLength >= eventsPerRunMax && Date.now() - runStartTime.getTime() >= RUN_MS_MIN;
  return stepsInRun >= turnsPerRunMax || isLong || continueAsNewSuggested;
}

/**
 * Gives a full run a short wait for the next signal. A signal during continue-as-new makes Temporal refuse the command
 * and replay the whole run. Clients often answer within milliseconds, and the next run's first step delays them anyway.
 */
async function untilQuiet({ input }: Run, comes: () => boolean): Promise<void> {
  if (input.quietMs === undefined || comes()) return;
  await wf.condition(comes, input.quietMs, { summary: 'quiet, before another run goes on' });
}

/** Deliveries in flight continue without this run. If they are cut short, the next run starts by sending them. */
function nextInput(run: Run, carried: SessionState): SessionInput {
  const { isDue: _before, ...input } = run.input;
  return {
    ...RUN_BOUNDS,
    ...input,
    carried,
    ...(isSent(run) ? {} : { isDue: true }),
  };
}

/** Runs until the session ends. A later run, for a session that Temporal lost, starts from the store's snapshot. */
export async function session(input: SessionInput): Promise<{ ended: string }> {
  const run: Run = {
    input,
    state: undefined,
    early: [],
    stop: undefined,
    sinceMs: Date.now(),
    stepsInRun: 0,
    webhooks: { isDue: false, sending: 0 },
  };
  listen(run);
  if (input.isDue) void send(run, { isLeft: true });
  let state = await load(run);
  while (!state.ended) {
    if (state.running || state.queue.length > 0) await turn(run);
    else await idle(run, state);
    state = run.state ?? state;
    if (state.ended || !isFull(run)) continue;
    if (!state.running) await untilQuiet(run, () => isWanted(run));
    state = run.state ?? state;
    // No await lies between this check and the end of the run, so no signal can arrive in between.
    if (!state.ended) await wf.continueAsNew<typeof session>(nextInput(run, state));
  }
  // The session's last events are sent before its run ends, or left to the endpoint's own workflow.
  while (!isSent(run)) await wf.condition(() => isSent(run));
  const status = state.ended === 'archived' ? 'archived' : 'completed';
  wf.upsertSearchAttributes([{ key: statusAttribute, value: status }]);
  return { ended: state.ended };
}
