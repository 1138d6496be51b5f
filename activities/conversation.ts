// What the model is shown: the branch up to the message that it is to answer.
import type { ErrorDetail } from '../src/contracts/errors.ts';
import { type InputBlock, isTerminal } from '../src/contracts/messages.ts';
import type { Catalogue } from '../src/models/catalogue.ts';
import type { ModelBlock, ModelMessage, ModelRequest } from '../src/models/port.ts';
import type { MessageRows } from '../src/stores/message-rows.ts';
import type { MessageRow, SessionRow, StepRow } from '../src/stores/schema.ts';
import type { TurnOptions } from '../src/views/sessions.ts';
import { createBranchCache, type RenderedMessage } from './branch-cache.ts';

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

/** Failures that are due to what was asked: the same words would be refused again, with whatever follows them. */
const REFUSALS: readonly string[] = ['context_too_long', 'model_invalid_request'];

/** A stop reason of Claude's, after which it refuses every conversation that still holds the turn. */
const REFUSED = 'refusal';

function isRefusal({ role, stop_reason, error }: MessageRow): boolean {
  if (role === 'user') return false;
  if (stop_reason === REFUSED) return true;
  return error !== null && REFUSALS.includes((JSON.parse(error) as ErrorDetail).code);
}

/** Without the turns that the model has refused, or the session could never be used again. Newest first. */
function withoutRefusals(branch: RenderedMessage[]): RenderedMessage[] {
  const refused = new Set(branch.filter((each) => each.isRefusal).map((reply) => reply.parentId));
  return branch.filter(({ id, isRefusal }) => !isRefusal && !refused.has(id));
}

export interface ConversationDeps {
  messages: MessageRows;
  catalogue: Catalogue;
}

/** After so many messages that the cache lacks one by one, the rest of the branch is read in ranges. */
const SINGLE_READS_MAX = 2;

/** Reads branches of finished messages as the model is shown them. */
function createBranches(messages: MessageRows) {
  const cache = createBranchCache();

  async function renderAll(rows: MessageRow[]): Promise<RenderedMessage[]> {
    const replies = rows.filter((row) => row.role === 'assistant').map((row) => row.id);
    const steps = new Map<string, StepRow[]>();
    for (const step of await messages.steps(replies))
      steps.set(step.reply_id, [...(steps.get(step.reply_id) ?? []), step]);
    return rows.map((row) => {
      const ids = { id: row.id, parentId: row.parent_id };
      const rendered = { ...ids, message: render(row, steps), isRefusal: isRefusal(row) };
      // One that is still being written belongs to a branch that nobody continues yet.
      if (isTerminal(row.status)) cache.put(rendered);
      return rendered;
    });
  }

  /** What the cache lacks of the branch, from its newest message on. */
  async function read(id: string, misses: number): Promise<RenderedMessage[]> {
    if (misses > SINGLE_READS_MAX) return renderAll(await messages.branch(id));
    const row = await messages.get(id);
    return row ? renderAll([row]) : [];
  }

  /** The branch that ends in `head`, newest first. */
  return async function branch(head: string | null): Promise<RenderedMessage[]> {
    const found: RenderedMessage[] = [];
    let misses = 0;
    for (let next = head; next !== null; ) {
      const known = cache.get(next);
      if (!known) misses += 1;
      const more = known ? [known] : await read(next, misses);
      for (const each of more) found.push(each);
      next = more.at(-1)?.parentId ?? null;
    }
    return found;
  };
}

/** Which step's request: of which message on which head, and the name that the provider is asked for. */
export interface ConversationOf {
  session: SessionRow;
  user: MessageRow;
  head: string | null;
  model: string;
}

export function createConversation({ messages, catalogue }: ConversationDeps) {
  const branchOf = createBranches(messages);

  /** @param head The message before the user's own, which is shown as it is now. */
  async function history(user: MessageRow, head: string | null): Promise<ModelMessage[]> {
    const before = withoutRefusals(await branchOf(head))
      .reverse()
      .flatMap(({ message }) => message ?? []);
    const own = render(user, new Map());
    return own ? [...before, own] : before;
  }

  /** The whole request for one step, as the session's settings and the message's own say. */
  return async function request({ session, user, head, model }: ConversationOf): Promise<ModelRequest> {
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
      messages: await history(user, head),
      tools: [],
      maxTokens: Math.min(own.max_tokens ?? defaults.max_tokens ?? MAX_TOKENS_DEFAULT, limit),
      temperature: temperature ?? null,
      thinking: own.thinking ?? defaults.thinking ?? null,
    };
  };
}
