// One model step: opens the step in the store, streams the reply into the session log, ends the step.
import { ApplicationFailure, Context } from '@temporalio/activity';
import { TemporalFailure } from '@temporalio/common';
import { ModelCallError, type ModelReply, type ModelUsage } from '../src/models/port.ts';
import type { ToolCallRow } from '../src/stores/schema.ts';
import { isStoreAway } from '../src/stores/store.ts';
import type { Attempt, Begun } from '../src/turns/begin.ts';
import { errorsMax, type FailedTry } from '../src/turns/fail-step.ts';
import { pending, pendingCall } from '../src/turns/snapshot.ts';
import type { PreparedCall } from '../src/turns/tool-calls.ts';
import type { ModelStepInput, ModelStepResult } from '../workflows/protocol.ts';
import {
  createModelCalls,
  type ModelCall,
  type ModelCallDeps,
  newCall,
  type Open,
  type Question,
  Superseded,
} from './model-call.ts';
import { patiently } from './patient-write.ts';
import { internalFailure, plainWords } from './plain-failure.ts';
import { settled } from './results.ts';

/**
 * Far below Temporal's 20 s heartbeat timeout, and a third of the lease's 6 s. A timer beats because a thinking model
 * may be silent.
 */
const HEARTBEAT_INTERVAL_MS = 2_000;

export interface ModelStepDeps extends ModelCallDeps {
  showPreviews: boolean;
  /** Identity of this process's worker, for the leases of its attempts. */
  worker: string;
  /** True if Temporal still waits for this attempt. */
  isUnderWay: (attempt: Attempt & { sessionId: string }) => Promise<boolean>;
}

/** The failure that Temporal shows and retries. The reply stays open for the next attempt. */
const retry = (failure: ModelCallError): ApplicationFailure =>
  ApplicationFailure.create({
    type: failure.code,
    message: failure.message,
    cause: failure,
    // A delay of 0 would make Temporal stop retrying.
    ...(failure.retryAfterMs === null ? {} : { nextRetryDelay: Math.max(failure.retryAfterMs, 1) }),
  });

/** Temporal's attempts are unbounded because worker deaths don't count, so the message names the real bound. */
function counted(again: ApplicationFailure, { code }: FailedTry, failures: number): ApplicationFailure {
  again.message = `${again.message} (failed try ${failures} of ${errorsMax(code)})`;
  return again;
}

/** Attempts of a step that can't begin before its reply fails. The store counts only steps that began. */
const BEGIN_TRIES_MAX = 6;

const NO_TOKENS: ModelUsage = {
  inputTokens: 0,
  outputTokens: 0,
  cacheCreationInputTokens: 0,
  cacheReadInputTokens: 0,
};

/** Calls `beat` on a timer until stopped. The lease and the heartbeat start fresh, so the first beat can wait. */
function keepAlive(beat: () => void): () => void {
  const timer = setInterval(beat, HEARTBEAT_INTERVAL_MS);
  return () => clearInterval(timer);
}

const toolsCalled = (step: number, open: ToolCallRow[]): ModelStepResult => ({
  kind: 'tools',
  step,
  calls: open.map(pendingCall),
});

type Spoken = { answer: ModelReply; rest: string; calls: PreparedCall[] };

const attemptOf = ({ info }: Context, worker: string): Attempt => ({
  worker,
  runId: info.workflowExecution?.runId ?? '',
  activityId: info.activityId,
  attempt: info.attempt,
});

/** A late, cancelled or outdated attempt must not move the branch. When the head is behind, Temporal decides. */
const createBegin = ({ turns, isUnderWay }: Pick<ModelStepDeps, 'turns' | 'isUnderWay'>) =>
  async function begin(input: ModelStepInput, attempt: Attempt): Promise<Begun> {
    const begun = await turns.begin({ ...input, attempt }).catch((error: unknown) => {
      if (isStoreAway(error) || attempt.attempt < BEGIN_TRIES_MAX) throw error;
      throw internalFailure(error, { nonRetryable: true });
    });
    if (begun.kind !== 'behind') return begun;
    const mayBranch = await isUnderWay({ sessionId: input.sessionId, ...attempt });
    return mayBranch ? turns.begin({ ...input, attempt, mayBranch }) : { kind: 'gone' };
  };

/** Both ends of a step: a complete reply or a failed attempt. */
function createStepEnds({ turns, showPreviews }: Pick<ModelStepDeps, 'turns' | 'showPreviews'>) {
  async function complete(call: ModelCall, done: Spoken): Promise<ModelStepResult> {
    const completed = await turns.complete(call.writer, done.rest, done.answer, done.calls);
    if (!completed) throw new Superseded();
    call.isCharged = true;
    const { session, reply, open, goesOn } = completed;
    return goesOn ? toolsCalled(call.writer.step, open) : settled(session, reply, showPreviews);
  }

  /**
   * Records the failed attempt. If the store refuses the record, the step ends and the workflow fails the reply with a
   * plain message.
   */
  async function fail(call: ModelCall, failed: FailedTry, again: ApplicationFailure): Promise<never> {
    const outcome = await turns.failStep(call.writer, failed).catch((error: unknown) => {
      throw isStoreAway(error) ? error : internalFailure(error, { nonRetryable: true });
    });
    if (!outcome) throw new Superseded();
    call.isCharged = true;
    if (!outcome.final) throw counted(again, failed, outcome.failures);
    // The reply's row already has the error. The workflow reads the row, and Temporal shows the step as failed.
    throw ApplicationFailure.nonRetryable(showPreviews ? again.message : 'The reply has failed', again.type);
  }

  /** Handles a provider failure, or our own: the step's text, end or request could not be written or read. */
  function failed(call: ModelCall, error: unknown): () => Promise<ModelStepResult> {
    if (error instanceof ModelCallError) return () => fail(call, error, retry(error));
    const message = plainWords(error);
    const { usage = NO_TOKENS } = call;
    const failure: FailedTry = { code: 'internal_error', message, retryable: true, usage };
    return () => fail(call, failure, internalFailure(error, { message }));
  }

  return { complete, failed };
}

export function createModelStep(deps: ModelStepDeps) {
  const { turns, messages, showPreviews, worker } = deps;
  const begin = createBegin(deps);
  const calls = createModelCalls(deps);
  const { complete, failed } = createStepEnds(deps);

  /**
   * The reply's current state after this attempt lost the fence. Temporal ignores results of replaced attempts. If
   * Temporal still listens, the next attempt asks the store first.
   */
  async function afterTakeover(input: ModelStepInput, open: Open): Promise<ModelStepResult> {
    const row = await messages.get(open.reply.id);
    const begun = row && row.completed_at !== null ? await turns.begin(input) : undefined;
    if (begun?.kind === 'gone') return begun;
    if (begun?.kind === 'settled') return settled(begun.session, begun.reply, showPreviews, begun.head);
    throw ApplicationFailure.retryable(`Another attempt writes ${input.messageId}`, 'superseded');
  }

  /** A silent model causes no writes that could be refused, so the lease renewal detects the takeover. */
  function keepLease(call: ModelCall): () => void {
    const renew = async () => {
      if (!(await calls.renewLease(call))) call.superseded.abort(new Superseded());
    };
    // The next renewal makes up for a failed one. If none succeeds, another worker may take over.
    return keepAlive(() => void renew().catch(() => undefined));
  }

  async function attempt(question: Question, call: ModelCall, cancelled: AbortSignal) {
    try {
      const spoken = await calls.speak(question, call, cancelled);
      return await patiently(cancelled, () => complete(call, spoken));
    } catch (error) {
      // While the store is unavailable, Temporal's retries wait. They call no model until the store is back.
      const isOver = error instanceof Superseded || error instanceof TemporalFailure;
      if (isOver || cancelled.aborted || isStoreAway(error)) throw error;
      return await patiently(cancelled, failed(call, error));
    }
  }

  async function step(input: ModelStepInput, open: Open, context: Context): Promise<ModelStepResult> {
    const call = newCall(open);
    const stop = keepLease(call);
    try {
      return await attempt({ open, head: input.head }, call, context.cancellationSignal);
    } catch (error) {
      if (error instanceof Superseded) return await afterTakeover(input, open);
      // The reason is Temporal's own failure, which Temporal recognizes as a cancellation.
      context.cancellationSignal.throwIfAborted();
      throw error;
    } finally {
      stop();
      await calls.chargeLate(call, context.cancellationDetails?.cancelRequested === true);
    }
  }

  return async function modelStep(input: ModelStepInput): Promise<ModelStepResult> {
    const context = Context.current();
    // The context is captured first because a timer callback has none.
    const stop = keepAlive(() => context.heartbeat());
    try {
      const begun = await begin(input, attemptOf(context, worker));
      if (begun.kind === 'gone' || begun.kind === 'behind') return { kind: 'gone' };
      if (begun.kind === 'settled') return settled(begun.session, begun.reply, showPreviews, begun.head);
      if (begun.kind === 'tools') return toolsCalled(begun.step, begun.open);
      if (begun.kind === 'instead')
        return { kind: 'instead', message: pending(begun.user, showPreviews), again: begun.again };
      return await step(input, begun, context);
    } finally {
      stop();
    }
  };
}
