// One turn: model steps until the reply is over. Its effects are arguments, so a plain test can run it.
import type { ModelStepInput, ModelStepResult, ReplyInput, RunningTurn } from './protocol.ts';

export interface TurnEffects {
  /** One model call; rejects only when it failed for good, outside what a reply can say. */
  modelStep(input: ModelStepInput): Promise<ModelStepResult>;
  /** Closes the reply from what was streamed; the result is what the row says afterwards. */
  interrupt(input: ReplyInput): Promise<ModelStepResult>;
  fail(input: ReplyInput & { reason: string }): Promise<ModelStepResult>;
  /** Resolves when the turn is to stop: interrupted by name, or because the session has ended. */
  stopped(): PromiseLike<'interrupted' | 'ended'>;
  /** Whether the error is the step's failure; anything else is a bug, and must stall the task instead of becoming history. */
  isStepFailure(error: unknown): boolean;
  /** Asks a running model call and running tools to stop; nobody waits for them. */
  cancelSteps(): void;
  /** The step is complete and its calls wait for results: remembers which. */
  called(step: Extract<ModelStepResult, { kind: 'tools' }>): void;
  /** Runs the calls of built-in tools that have no result yet and don't run: what they come to is heard in `results`. */
  runTools(reply: ReplyInput): void;
  /** Resolves when all have come, when the time of one is over, when the turn is to stop, or when the run is long enough. */
  results(): Promise<'all' | 'expired' | 'full' | 'interrupted' | 'ended'>;
  /** Settles the calls whose time is over; what is still missing after that, or the end of the reply. */
  expireCalls(reply: ReplyInput): Promise<ModelStepResult>;
  /** @returns the turn at its next step. */
  nextStep(): RunningTurn;
  /** Whether another run should go on. */
  isFull(): boolean;
}

export interface TurnContext {
  sessionId: string;
  head: string | null;
}

/** UTF-16 units of a reason: it is recorded in the history and shown to the client. */
const REASON_LENGTH_MAX = 500;

/** The innermost message: the outer ones only say that an activity has failed. */
export function describe(error: unknown): string {
  let innermost = error;
  while (innermost instanceof Error && innermost.cause instanceof Error) innermost = innermost.cause;
  const words = innermost instanceof Error ? innermost.message : String(innermost);
  return words.slice(0, REASON_LENGTH_MAX).toWellFormed();
}

/** Runs one step, or ends it when the turn is to stop. */
async function runStep(turn: RunningTurn, reply: ReplyInput, effects: TurnEffects): Promise<ModelStepResult> {
  const { sessionId, head } = reply;
  const step = effects
    .modelStep({ sessionId, head, messageId: turn.messageId, step: turn.step })
    .then((result) => ({ result }))
    .catch((error: unknown) => ({ error }));
  const first = await Promise.race([step, effects.stopped().then((stopped) => ({ stopped }))]);
  if ('result' in first) return first.result;
  if ('error' in first) {
    if (!effects.isStepFailure(first.error)) throw first.error;
    return effects.fail({ ...reply, reason: describe(first.error) });
  }
  effects.cancelSteps();
  return stop(first.stopped, reply, effects);
}

const stop = async (
  reason: 'interrupted' | 'ended',
  reply: ReplyInput,
  effects: TurnEffects,
): Promise<ModelStepResult> => (reason === 'ended' ? { kind: 'gone' } : effects.interrupt(reply));

/** Waits until every call of the step has its result. @returns what else has ended the wait. */
async function awaitResults(
  reply: ReplyInput,
  effects: TurnEffects,
): Promise<ModelStepResult | 'continue' | undefined> {
  for (;;) {
    effects.runTools(reply);
    const woken = await effects.results();
    if (woken === 'all') return undefined;
    if (woken === 'full') return 'continue';
    if (woken !== 'expired') {
      effects.cancelSteps();
      return stop(woken, reply, effects);
    }
    const result = await effects.expireCalls(reply);
    if (result.kind !== 'tools') return result;
    effects.called(result);
  }
}

/**
 * Steps until the reply is over: a model call, the results of what it has called, the next model call.
 * @returns `continue` between two steps or in a wait, when the run is long enough: another one goes on from its state.
 */
export async function runTurn(
  turn: RunningTurn,
  context: TurnContext,
  effects: TurnEffects,
): Promise<ModelStepResult | 'continue'> {
  const reply: ReplyInput = { ...context, replyId: turn.replyId };
  for (let running = turn; ; ) {
    if (!running.calls) {
      const result = await runStep(running, reply, effects);
      if (result.kind !== 'tools') return result;
      effects.called(result);
    }
    const ended = await awaitResults(reply, effects);
    if (ended) return ended;
    running = effects.nextStep();
    if (effects.isFull()) return 'continue';
  }
}
