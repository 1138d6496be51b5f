// The model call of one attempt: what it says goes into the log, what it costs into the ledger, whatever ends it.
import { log } from '@temporalio/activity';
import { newId } from '../src/ids.ts';
import type { Catalogue } from '../src/models/catalogue.ts';
import { isRequestRefused } from '../src/models/failures.ts';
import type { Model, ModelCallOptions, ModelReply, ModelUsage } from '../src/models/port.ts';
import type { MessageRows } from '../src/stores/message-rows.ts';
import type { MessageRow } from '../src/stores/schema.ts';
import type { SchemaChecker } from '../src/tools/json-schema/checker.ts';
import type { ToolRegistry } from '../src/tools/registry.ts';
import type { Begun } from '../src/turns/begin.ts';
import type { Turns } from '../src/turns/index.ts';
import type { StepWriter } from '../src/turns/step-writer.ts';
import { STEP_SEPARATOR } from '../src/views/messages.ts';
import { type Conversation, createConversation } from './conversation.ts';
import { createDeltaWriter } from './delta-writer.ts';
import { patiently } from './patient-write.ts';
import { createToolOffers } from './tool-offer.ts';

/** Thrown when another writer holds the fence: the work goes on elsewhere. */
export class Superseded extends Error {
  override readonly name = 'Superseded';
}

export type Open = Extract<Begun, { kind: 'open' }>;

export interface ModelCall {
  writer: StepWriter;
  /** What it has cost as far as the provider has told; undefined until the model was asked. */
  usage: ModelUsage | undefined;
  /** What the store has heard of that. */
  told: ModelUsage | undefined;
  isCharged: boolean;
  /** Aborted when another writer holds the fence, or a write has failed. */
  superseded: AbortController;
}

/** What is asked: by which message, on which head. */
export interface Question {
  open: Open;
  head: string | null;
}

const NOTHING_TOLD: ModelUsage = {
  inputTokens: 0,
  outputTokens: 0,
  cacheCreationInputTokens: 0,
  cacheReadInputTokens: 0,
};

export const newCall = ({ session, reply, step, fence }: Open): ModelCall => ({
  writer: {
    sessionId: session.id,
    replyId: reply.id,
    step,
    fence,
    callId: newId('mcall'),
    model: reply.model ?? session.model,
  },
  usage: undefined,
  told: undefined,
  isCharged: false,
  superseded: new AbortController(),
});

/** What the store does not know yet. A write that fails ends the attempt, which then says all once more. */
function news(call: ModelCall): ModelUsage | undefined {
  if (call.usage === call.told || call.usage === NOTHING_TOLD) return undefined;
  call.told = call.usage;
  return call.usage;
}

/** Between two steps with text stands a blank line, streamed as the beginning of the later one. */
function separated(reply: MessageRow, push: (text: string) => void): (text: string) => void {
  let separator = reply.text === '' ? '' : STEP_SEPARATOR;
  return (text) => {
    push(separator + text);
    separator = '';
  };
}

/**
 * Asks with the whole conversation. A provider that refuses it is asked once more without the turns it may have refused
 * before, unless readers have text already: a refusal costs nothing.
 */
async function ask(
  model: Model,
  { request, lighter }: Conversation,
  options: ModelCallOptions,
): Promise<ModelReply> {
  let hasSpoken = false;
  const onText = (text: string) => {
    hasSpoken = true;
    options.onText(text);
  };
  try {
    return await model.stream(request, { ...options, onText });
  } catch (error) {
    if (!lighter || hasSpoken || !isRequestRefused(error)) throw error;
    const reply = await model.stream(lighter.request, options);
    lighter.taken();
    return reply;
  }
}

export interface ModelCallDeps {
  model: Model;
  turns: Turns;
  messages: MessageRows;
  catalogue: Catalogue;
  checker: SchemaChecker;
  registry: ToolRegistry;
}

export function createModelCalls(deps: ModelCallDeps) {
  const { model, turns, messages, catalogue } = deps;
  const offer = createToolOffers(deps);
  const conversation = createConversation({ messages, catalogue });

  return {
    /** Streams the answer into the log. @returns the answer and the text that the log does not have yet. */
    async speak({ open, head }: Question, call: ModelCall, cancelled: AbortSignal) {
      const { superseded } = call;
      const signal = AbortSignal.any([cancelled, superseded.signal]);
      const deltas = createDeltaWriter({
        writer: call.writer,
        appendText(writer, text, after) {
          const told = news(call);
          return patiently(signal, (isRepeated) =>
            turns.appendText(writer, text, isRepeated ? { told, after } : { told }),
          );
        },
        onStopped: (reason) => superseded.abort(reason === 'refused' ? new Superseded() : reason.error),
      });
      const onUsage = (usage: ModelUsage) => {
        call.usage = usage;
      };
      try {
        const { tools, prepare } = await offer(open.session);
        const asked = await conversation({ ...open, head, model: call.writer.model, tools });
        call.usage = NOTHING_TOLD;
        const onText = separated(open.reply, deltas.push);
        const answer: ModelReply = await ask(model, asked, { signal, onText, onUsage });
        call.usage = answer.usage;
        const rest = await deltas.rest();
        // A write that failed has lost its text: an answer without it would not be what its readers were sent.
        superseded.signal.throwIfAborted();
        return { answer, rest, calls: await prepare(answer.blocks) };
      } catch (error) {
        await deltas.rest();
        throw superseded.signal.aborted ? superseded.signal.reason : error;
      }
    },

    renewLease: ({ writer, usage }: ModelCall): Promise<boolean> =>
      turns.renewLease(writer, usage === NOTHING_TOLD ? undefined : usage),

    /**
     * Charges for a call that no end of its step was written for. A bill that can't be written must not hide what the
     * attempt came to; the store has what was told before.
     */
    async chargeLate(call: ModelCall, isCancelled: boolean): Promise<void> {
      if (call.isCharged || !call.usage) return;
      try {
        await turns.recordLateCall(call.writer, { usage: call.usage, isCancelled });
      } catch (error) {
        log.warn('The tokens of a model call could not be recorded', { callId: call.writer.callId, error });
      }
    },
  };
}
