// The model call of one attempt. Streams the text into the session log and always records the cost in the ledger.
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

/** Thrown when another writer holds the fence and continues the step. */
export class Superseded extends Error {
  override readonly name = 'Superseded';
}

export type Open = Extract<Begun, { kind: 'open' }>;

export interface ModelCall {
  writer: StepWriter;
  /** The call's cost as last reported by the provider. Undefined until the model was asked. */
  usage: ModelUsage | undefined;
  /** The part of the usage already sent to the store. */
  told: ModelUsage | undefined;
  isCharged: boolean;
  /** Aborted when another writer holds the fence, or a write has failed. */
  superseded: AbortController;
}

/** The request's opened turn and its head. */
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

/** Usage that the store doesn't know yet. A failed write ends the attempt, which then reports everything again. */
function news(call: ModelCall): ModelUsage | undefined {
  if (call.usage === call.told || call.usage === NOTHING_TOLD) return undefined;
  call.told = call.usage;
  return call.usage;
}

/** A blank line separates two steps with text. The separator is streamed at the start of the later step. */
function separated(reply: MessageRow, push: (text: string) => void): (text: string) => void {
  let separator = reply.text === '' ? '' : STEP_SEPARATOR;
  return (text) => {
    push(separator + text);
    separator = '';
  };
}

/**
 * Sends the whole conversation. If the provider refuses, sends the request once more without the suspect turns, unless
 * readers already have text. A refusal costs nothing.
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
    /** Streams the reply into the session log. @returns the reply and the text not yet written to the log. */
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
        // A failed write has lost its text, so the reply would differ from the text that readers received.
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
     * Charges for a call whose step has no recorded end. A failed charge must not hide the attempt's outcome. The store
     * keeps the usage recorded so far.
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
