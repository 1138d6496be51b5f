// One turn: model steps until the reply is over. Effects are arguments, so a plain test can run the turn.
import type { ModelStepInput, ModelStepResult, ReplyInput, RunningTurn } from './protocol.ts';

export interface TurnEffects {
  /** One model call. Rejects only on a final failure that the reply can't record. */
  modelStep(input: ModelStepInput): Promise<ModelStepResult>;
  /** Closes the reply from the streamed text. The result is the row's state afterwards. */
  interrupt(input: ReplyInput): Promise<ModelStepResult>;
  fail(input: ReplyInput & { reason: string }): Promise<ModelStepResult>;
  /** Resolves when the turn must stop: interrupted by reply id, or because the session has ended. */
  stopped(): PromiseLike<'interrupted' | 'ended'>;
  /** True for a failed step. Any other error is a bug, and must stall the task instead of becoming history. */
  isStepFailure(error: unknown): boolean;
  /** Cancels a running model call and running tools without waiting for them. */
  cancelSteps(): void;
  /** The step is complete and its calls wait for results. Records the calls. */
  called(step: Extract<ModelStepResult, { kind: 'tools' }>): void;
  /** Starts built-in calls that have no result and aren't running. Their outcomes arrive through `results`. */
  runTools(reply: ReplyInput): void;
  /** Resolves when all results have arrived, a call expires, the turn must stop, or the run is full. */
  results(): Promise<'all' | 'expired' | 'full' | 'interrupted' | 'ended'>;
  /** Settles expired calls. Returns the calls still missing, or the end of the reply. */
  expireCalls(reply: ReplyInput): Promise<ModelStepResult>;
  /** @returns the turn at its next step. */
  nextStep(): RunningTurn;
  /** True if the next run should continue. */
  isFull(): boolean;
}

export interface TurnContext {
  sessionId: string;
  head: string | null;
}

/** Maximum UTF-16 units of a reason. The reason is recorded in the history and shown to the client. */
const REASON_LENGTH_MAX = 500;

/** The innermost message. The outer messages only say that an activity failed. */
export function describe(error: unknown): string {
  let innermost = error;
  while (innermost instanceof Error && innermost.cause instanceof Error) innermost = innermost.cause;
  const words = innermost instanceof Error ? innermost.message : String(innermost);
  return words.slice(0, REASON_LENGTH_MAX).toWellFormed();
}

/** Runs one step, or ends the step when the turn must stop. */
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

/** Waits until every call of the step has its result. @returns any other outcome that ended the wait. */
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
 * Runs steps until the reply is over. A step is a model call, and the results of its tool calls lead to the next step.
 * @returns `continue` between two steps or in a wait, when the run is full. The next run continues from the same state.
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
