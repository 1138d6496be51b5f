// One model step: opens it in the store, streams the model's answer into the log, ends it.
import { ApplicationFailure, Context } from '@temporalio/activity';
import type { Catalogue } from '../src/models/catalogue.ts';
import { type Model, ModelCallError, type ModelReply } from '../src/models/port.ts';
import type { MessageRows } from '../src/stores/message-rows.ts';
import type { Attempt, Begun } from '../src/turns/begin.ts';
import type { Turns } from '../src/turns/index.ts';
import { pending } from '../src/turns/snapshot.ts';
import type { StepWriter } from '../src/turns/step-writer.ts';
import type { ModelStepInput, ModelStepResult } from '../workflows/protocol.ts';
import { createConversation } from './conversation.ts';
import { createDeltaWriter } from './delta-writer.ts';
import { settled } from './results.ts';

/**
 * For Temporal far below the 20 s after which it gives an attempt up, for the lease a third of its 6 s; on a timer,
 * for a thinking model may be silent.
 */
const HEARTBEAT_INTERVAL_MS = 2_000;

/** Thrown inside the step when another writer holds the fence: the work goes on elsewhere. */
class Superseded extends Error {
  override readonly name = 'Superseded';
}

export interface ModelStepDeps {
  model: Model;
  turns: Turns;
  messages: MessageRows;
  catalogue: Catalogue;
  showPreviews: boolean;
  /** Identity of this process's worker, for the leases of its attempts. */
  worker: string;
  /** Whether Temporal still waits for this attempt. */
  isUnderWay: (attempt: Attempt & { sessionId: string }) => Promise<boolean>;
}

type Open = Extract<Begun, { kind: 'open' }>;

const writerOf = ({ session, reply, step, fence }: Open): StepWriter => ({
  sessionId: session.id,
  replyId: reply.id,
  step,
  fence,
  model: reply.model ?? session.model,
});

/** What Temporal shows and retries; the reply itself stays open for the next try. */
const retry = (failure: ModelCallError): ApplicationFailure =>
  ApplicationFailure.create({
    type: failure.code,
    message: failure.message,
    cause: failure,
    ...(failure.retryAfterMs === null ? {} : { nextRetryDelay: failure.retryAfterMs }),
  });

/** Calls `beat` on a timer until stopped: what begins now is known to live. */
function keepAlive(beat: () => void): () => void {
  const timer = setInterval(beat, HEARTBEAT_INTERVAL_MS);
  return () => clearInterval(timer);
}

/** A model that is silent writes nothing that could be refused: then it is the renewal that finds out. */
function keepLease(turns: Turns, writer: StepWriter, superseded: AbortController): () => void {
  const renew = async () => {
    if (!(await turns.renewLease(writer))) superseded.abort(new Superseded());
  };
  // A renewal that fails is made up for by the next; if none comes through, another worker may take over.
  return keepAlive(() => void renew().catch(() => undefined));
}

const attemptOf = ({ info }: Context, worker: string): Attempt => ({
  worker,
  runId: info.workflowExecution?.runId ?? '',
  activityId: info.activityId,
  attempt: info.attempt,
});

/** An attempt that comes late, cancelled or from a run that is over, must not move the branch: then Temporal is asked. */
const createBegin = ({ turns, isUnderWay }: Pick<ModelStepDeps, 'turns' | 'isUnderWay'>) =>
  async function begin(input: ModelStepInput, attempt: Attempt): Promise<Begun> {
    const begun = await turns.begin({ ...input, attempt });
    if (begun.kind !== 'behind') return begun;
    const mayBranch = await isUnderWay({ sessionId: input.sessionId, ...attempt });
    return mayBranch ? turns.begin({ ...input, attempt, mayBranch }) : { kind: 'gone' };
  };

export function createModelStep(deps: ModelStepDeps) {
  const { model, turns, messages, catalogue, showPreviews, worker } = deps;
  const begin = createBegin(deps);
  const conversation = createConversation({ messages, catalogue });

  /** Streams the answer into the log. @returns the answer and the text that the log does not have yet. */
  async function speak(
    { open, head }: { open: Open; head: string | null },
    writer: StepWriter,
    { cancelled, superseded }: { cancelled: AbortSignal; superseded: AbortController },
  ) {
    const signal = AbortSignal.any([cancelled, superseded.signal]);
    const deltas = createDeltaWriter({
      writer,
      appendText: turns.appendText,
      onStopped: (reason) => superseded.abort(reason === 'refused' ? new Superseded() : reason.error),
    });
    try {
      const { session, user } = open;
      const request = await conversation({ session, user, head, model: writer.model });
      const answer = await model.stream(request, { signal, onText: deltas.push });
      const rest = await deltas.rest();
      // A write that failed has lost its text: an answer without it would not be what its readers were sent.
      superseded.signal.throwIfAborted();
      return { answer, rest };
    } catch (error) {
      await deltas.rest();
      throw superseded.signal.aborted ? superseded.signal.reason : error;
    }
  }

  async function complete(writer: StepWriter, done: { answer: ModelReply; rest: string }) {
    const closed = await turns.complete(writer, done.rest, done.answer);
    if (!closed) throw new Superseded();
    return settled(closed.session, closed.reply, showPreviews);
  }

  async function fail(writer: StepWriter, failure: ModelCallError): Promise<ModelStepResult> {
    const outcome = await turns.failStep(writer, failure);
    if (!outcome) throw new Superseded();
    if (!outcome.final) throw retry(failure);
    return settled(outcome.session, outcome.reply, showPreviews);
  }

  /**
   * The reply as it is now, when this attempt lost its right to write. Temporal ignores what a replaced attempt
   * says; should it still listen, another try begins by asking the store.
   */
  async function afterTakeover(input: ModelStepInput, open: Open): Promise<ModelStepResult> {
    const row = await messages.get(open.reply.id);
    const begun = row && row.completed_at !== null ? await turns.begin(input) : undefined;
    if (begun?.kind === 'gone') return begun;
    if (begun?.kind === 'settled') return settled(begun.session, begun.reply, showPreviews, begun.head);
    throw ApplicationFailure.retryable(`Another attempt writes ${input.messageId}`, 'superseded');
  }

  async function step(input: ModelStepInput, open: Open, cancelled: AbortSignal): Promise<ModelStepResult> {
    const writer = writerOf(open);
    const superseded = new AbortController();
    const stop = keepLease(turns, writer, superseded);
    try {
      const spoken = await speak({ open, head: input.head }, writer, { cancelled, superseded });
      return await complete(writer, spoken);
    } catch (error) {
      if (error instanceof Superseded) return afterTakeover(input, open);
      // The reason is Temporal's own failure, which Temporal knows as a cancellation.
      cancelled.throwIfAborted();
      if (error instanceof ModelCallError) return await fail(writer, error);
      throw error;
    } finally {
      stop();
    }
  }

  return async function modelStep(input: ModelStepInput): Promise<ModelStepResult> {
    const context = Context.current();
    // The context is captured first: a timer has none of its own.
    const stop = keepAlive(() => context.heartbeat());
    try {
      const begun = await begin(input, attemptOf(context, worker));
      if (begun.kind === 'gone' || begun.kind === 'behind') return { kind: 'gone' };
      if (begun.kind === 'settled') return settled(begun.session, begun.reply, showPreviews, begun.head);
      if (begun.kind === 'instead')
        return { kind: 'instead', message: pending(begun.user, showPreviews), again: begun.again };
      return await step(input, begun, context.cancellationSignal);
    } finally {
      stop();
    }
  };
}
