// What the model is shown: the branch up to the message that it is to answer.
import type { InputBlock } from '../src/contracts/messages.ts';
import type { Catalogue } from '../src/models/catalogue.ts';
import type { ModelBlock, ModelMessage, ModelRequest } from '../src/models/port.ts';
import type { MessageRows } from '../src/stores/message-rows.ts';
import type { MessageRow, SessionRow, StepRow } from '../src/stores/schema.ts';
import type { TurnOptions } from '../src/views/sessions.ts';

/** Long enough for any answer in a conversation; a session or a message may ask for more or less. */
const MAX_TOKENS_DEFAULT = 32_000;

const userBlock = (block: InputBlock): ModelBlock =>
  block.type === 'json' ? { type: 'text', text: JSON.stringify(block.value) } : block;

/** Blocks that a later call may be shown: text only, for reasoning belongs to the turn it was made in. */
function spoken(reply: MessageRow, steps: StepRow[]): ModelBlock[] {
  const blocks = steps.flatMap((step) => JSON.parse(step.blocks) as ModelBlock[]);
  const texts = blocks.filter((block) => block.type === 'text' && block.text !== '');
  if (steps.length > 0) return texts.map(({ type, text }) => ({ type, text }));
  return reply.text === '' ? [] : [{ type: 'text', text: reply.text }];
}

function render(row: MessageRow, steps: Map<string, StepRow[]>): ModelMessage | undefined {
  const content =
    row.role === 'user'
      ? (JSON.parse(row.blocks) as InputBlock[]).map(userBlock)
      : spoken(row, steps.get(row.id) ?? []);
  // An answer that was interrupted before its first word has nothing to show, and empty turns are refused.
  return content.length === 0 ? undefined : { role: row.role, content };
}

export interface ConversationDeps {
  messages: MessageRows;
  catalogue: Catalogue;
}

export function createConversation({ messages, catalogue }: ConversationDeps) {
  async function history(user: MessageRow): Promise<ModelMessage[]> {
    const branch = await messages.branch(user.id);
    const replies = branch.filter((row) => row.role === 'assistant').map((row) => row.id);
    const steps = new Map<string, StepRow[]>();
    for (const step of await messages.steps(replies))
      steps.set(step.reply_id, [...(steps.get(step.reply_id) ?? []), step]);
    return branch
      .reverse()
      .map((row) => render(row, steps))
      .filter((message) => message !== undefined);
  }

  /** The whole request for one step, as the session's settings and the message's own say. */
  return async function request(session: SessionRow, user: MessageRow, model: string): Promise<ModelRequest> {
    const defaults: TurnOptions = JSON.parse(session.turn_options);
    const own: TurnOptions = JSON.parse(user.turn_options);
    const entry = catalogue.find(model);
    const limit = entry?.maxOutputTokens ?? MAX_TOKENS_DEFAULT;
    // A model that refuses the setting answers without it; the session's warnings say so.
    const temperature =
      entry?.acceptsTemperature === false ? null : (own.temperature ?? defaults.temperature);
    return {
      model,
      system: session.system_prompt === '' ? null : session.system_prompt,
      messages: await history(user),
      tools: [],
      maxTokens: Math.min(own.max_tokens ?? defaults.max_tokens ?? MAX_TOKENS_DEFAULT, limit),
      temperature: temperature ?? null,
      thinking: own.thinking ?? defaults.thinking ?? null,
    };
  };
}
