// What the model is shown: the branch up to the message that it is to answer.
import type { ErrorDetail } from '../src/contracts/errors.ts';
import { parseJson, stringifyJson } from '../src/contracts/json.ts';
import { type InputBlock, isTerminal } from '../src/contracts/messages.ts';
import type { Catalogue } from '../src/models/catalogue.ts';
import type { ModelBlock, ModelMessage, ModelRequest, ModelTool } from '../src/models/port.ts';
import type { MessageRows } from '../src/stores/message-rows.ts';
import type { MessageRow, SessionRow, StepRow, ToolCallRow } from '../src/stores/schema.ts';
import { STEP_SEPARATOR } from '../src/views/messages.ts';
import type { TurnOptions } from '../src/views/sessions.ts';
import { createBranchCache, type RenderedMessage } from './branch-cache.ts';

/** Long enough for any answer in a conversation; a session or a message may ask for more or less. */
const MAX_TOKENS_DEFAULT = 32_000;

const userBlock = (block: InputBlock): ModelBlock =>
  block.type === 'json' ? { type: 'text', text: stringifyJson(block.value) } : block;

/** What a reply was made of. */
interface Parts {
  steps: StepRow[];
  calls: ToolCallRow[];
}

const NO_PARTS: Parts = { steps: [], calls: [] };

const isThinking = ({ type }: ModelBlock): boolean => type === 'thinking' || type === 'redacted_thinking';

/** Reasoning belongs to the turn it was made in; there its signature is asked for beside the calls that it led to. */
function stepBlocks(step: StepRow, isOwnTurn: boolean): ModelBlock[] {
  const blocks = parseJson<ModelBlock[]>(step.blocks);
  return blocks.filter((block) => {
    if (block.type === 'text') return block.text !== '';
    return block.type === 'tool_use' || (isOwnTurn && isThinking(block));
  });
}

const wordsOf = (result: string | null): string => {
  const value: unknown = result === null ? '' : parseJson(result);
  return typeof value === 'string' ? value : stringifyJson(value);
};

const resultBlock = (call: ToolCallRow): ModelBlock => ({
  type: 'tool_result',
  tool_use_id: call.provider_id,
  content: wordsOf(call.result),
  ...(call.is_error === 1 ? { is_error: true } : {}),
});

/** Each step's words and calls, and behind them the results, as if a user had said these. */
function spoken(reply: MessageRow, { steps, calls }: Parts): ModelMessage[] {
  const isOwnTurn = !isTerminal(reply.status);
  const said = steps.flatMap((step): ModelMessage[] => {
    const results = calls.filter((call) => call.step === step.n).map(resultBlock);
    const content = stepBlocks(step, isOwnTurn);
    const answered: ModelMessage[] = results.length > 0 ? [{ role: 'user', content: results }] : [];
    return content.length > 0 ? [{ role: 'assistant', content }, ...answered] : answered;
  });
  const rest = unfinishedText(reply, steps);
  return rest === '' ? said : [...said, { role: 'assistant', content: [{ type: 'text', text: rest }] }];
}

/** What an interrupted or failed reply had said beyond its complete steps. */
function unfinishedText({ text, status }: MessageRow, steps: StepRow[]): string {
  if (!isTerminal(status)) return '';
  const complete = steps
    .map((step) => textOf(parseJson<ModelBlock[]>(step.blocks)))
    .filter((each) => each !== '')
    .join(STEP_SEPARATOR);
  return text.startsWith(complete) ? text.slice(complete.length).trimStart() : text;
}

const textOf = (blocks: ModelBlock[]): string =>
  blocks.map((block) => (block.type === 'text' ? String(block.text) : '')).join('');

function render(row: MessageRow, parts: Parts): ModelMessage[] {
  if (row.role === 'assistant') return spoken(row, parts);
  const content = parseJson<InputBlock[]>(row.blocks).map(userBlock);
  return content.length > 0 ? [{ role: 'user', content }] : [];
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

/** Steps and calls of these replies, by reply. */
async function partsOf(messages: MessageRows, replyIds: string[]): Promise<Map<string, Parts>> {
  const parts = new Map(replyIds.map((id): [string, Parts] => [id, { steps: [], calls: [] }]));
  for (const step of await messages.steps(replyIds)) parts.get(step.reply_id)?.steps.push(step);
  for (const call of await messages.toolCalls(replyIds)) parts.get(call.message_id)?.calls.push(call);
  return parts;
}

/** Reads branches of finished messages as the model is shown them. */
function createBranches(messages: MessageRows) {
  const cache = createBranchCache();

  async function renderAll(rows: MessageRow[]): Promise<RenderedMessage[]> {
    const replies = rows.filter((row) => row.role === 'assistant').map((row) => row.id);
    const parts = await partsOf(messages, replies);
    return rows.map((row) => {
      const own = parts.get(row.id) ?? NO_PARTS;
      const ids = { id: row.id, parentId: row.parent_id };
      const rendered = { ...ids, messages: render(row, own), isRefusal: isRefusal(row) };
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
  reply: MessageRow;
  /** The step that is to be asked for, from 1. */
  step: number;
  head: string | null;
  model: string;
  tools: ModelTool[];
}

export function createConversation({ messages, catalogue }: ConversationDeps) {
  const branchOf = createBranches(messages);

  /** @param head The message before the user's own, which is shown as it is now, with the complete steps of its reply. */
  async function history({ user, reply, step, head }: ConversationOf): Promise<ModelMessage[]> {
    const before = withoutRefusals(await branchOf(head))
      .reverse()
      .flatMap((each) => each.messages);
    // Before the first step is complete there is nothing to read, and the model is asked that much earlier.
    const parts = step > 1 ? (await partsOf(messages, [reply.id])).get(reply.id) : undefined;
    return [...before, ...render(user, NO_PARTS), ...render(reply, parts ?? NO_PARTS)];
  }

  /** The whole request for one step, as the session's settings and the message's own say. */
  return async function request(of: ConversationOf): Promise<ModelRequest> {
    const { session, user, model, tools } = of;
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
      messages: await history(of),
      tools,
      maxTokens: Math.min(own.max_tokens ?? defaults.max_tokens ?? MAX_TOKENS_DEFAULT, limit),
      temperature: temperature ?? null,
      thinking: own.thinking ?? defaults.thinking ?? null,
    };
  };
}
