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
  /** Asks a running model call to stop; nobody waits for it. */
  cancelModelStep(): void;
}

export interface TurnContext {
  sessionId: string;
  head: string | null;
}

/** UTF-16 units of a reason: it is recorded in the history and shown to the client. */
const REASON_LENGTH_MAX = 500;

/** The innermost message: the outer ones only say that an activity has failed. */
function describe(error: unknown): string {
  let innermost = error;
  while (innermost instanceof Error && innermost.cause instanceof Error) innermost = innermost.cause;
  const words = innermost instanceof Error ? innermost.message : String(innermost);
  return words.slice(0, REASON_LENGTH_MAX).toWellFormed();
}

export async function runTurn(
  turn: RunningTurn,
  context: TurnContext,
  effects: TurnEffects,
): Promise<ModelStepResult> {
  const { sessionId, head } = context;
  const reply: ReplyInput = { sessionId, head, replyId: turn.replyId };
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
  effects.cancelModelStep();
  if (first.stopped === 'ended') return { kind: 'gone' };
  return effects.interrupt(reply);
}
