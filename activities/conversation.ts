// What the model is shown: the branch up to the message that it is to answer.
import type { ErrorDetail } from '../src/contracts/errors.ts';
import { parseJson, stringifyJson } from '../src/contracts/json.ts';
import {
  type InputBlock,
  isTerminal,
  MAX_TOKENS_DEFAULT,
  THINKING_BUDGET_MIN,
} from '../src/contracts/messages.ts';
import { type Catalogue, refusesThinking } from '../src/models/catalogue.ts';
import type { CatalogueEntry } from '../src/models/catalogue-entry.ts';
import type { ModelBlock, ModelMessage, ModelRequest, ModelTool } from '../src/models/port.ts';
import type { MessageRows } from '../src/stores/message-rows.ts';
import type { MessageRow, SessionRow } from '../src/stores/schema.ts';
import { kindOfStop } from '../src/turns/stop-reason.ts';
import type { TurnOptions } from '../src/views/sessions.ts';
import { createBranchCache, type RenderedMessage, type Standing } from './branch-cache.ts';
import { type Parts, spoken, withoutRepeatedProviderCalls } from './spoken.ts';

const userBlock = (block: InputBlock): ModelBlock =>
  block.type === 'json' ? { type: 'text', text: stringifyJson(block.value) } : block;

const NO_PARTS: Parts = { steps: [], calls: [] };

function render(row: MessageRow, parts: Parts): ModelMessage[] {
  if (row.role === 'assistant') return spoken(row, parts);
  const content = parseJson<InputBlock[]>(row.blocks).map(userBlock);
  return [{ role: 'user', content }];
}

/**
 * How a reply stands in the conversation. `refused`: the provider refuses each request that still holds the turn. `suspect`: the provider refused the
 * request, for what was asked or for a setting; no wording tells which, so the turn is shown until that is refused again. A prompt
 * that was too long may fit later, with another model or a smaller `max_tokens`.
 */
function standingOf({ role, stop_reason, error }: MessageRow): Standing {
  if (role === 'user') return 'good';
  if (kindOfStop(stop_reason) === 'refused') return 'refused';
  const code = error === null ? null : (JSON.parse(error) as ErrorDetail).code;
  return code === 'model_invalid_request' || code === 'context_too_long' ? 'suspect' : 'good';
}

/** The branch without some replies and the messages that these answer. */
function without(
  branch: RenderedMessage[],
  isLeftOut: (each: RenderedMessage) => boolean,
): RenderedMessage[] {
  const questions = new Set(branch.filter(isLeftOut).map((reply) => reply.parentId));
  return branch.filter((each) => !isLeftOut(each) && !questions.has(each.id));
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
      const rendered = { ...ids, messages: render(row, own), standing: standingOf(row) };
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

export interface Conversation {
  request: ModelRequest;
  /** For a provider that refuses the request: the same without its suspect turns. Undefined when it has none. */
  lighter?: {
    request: ModelRequest;
    /** The provider took it: its suspects are left out from now on. */
    taken(): void;
  };
}

/** Suspects that a provider has refused again. Another process, or one that has forgotten, asks once more at no cost. */
const LEFT_OUT_MAX = 10_000;

function createLeftOut() {
  const ids = new Set<string>();
  return {
    has: (id: string) => ids.has(id),
    add(id: string): void {
      const [oldest] = ids;
      if (ids.size >= LEFT_OUT_MAX && oldest !== undefined) ids.delete(oldest);
      ids.add(id);
    },
  };
}

type Limits = Pick<ModelRequest, 'maxTokens' | 'temperature'> & {
  thinking: TurnOptions['thinking'];
};

/** The fields that the provider takes with each type. */
const THINKING_FIELDS: Record<string, string[]> = {
  enabled: ['type', 'budget_tokens', 'display'],
  adaptive: ['type', 'display'],
};

function acceptableThinking(entry: CatalogueEntry | undefined, thinking: TurnOptions['thinking']) {
  if (!thinking || refusesThinking(entry, thinking.type)) return null;
  const fields = THINKING_FIELDS[thinking.type] ?? ['type'];
  return Object.fromEntries(Object.entries(thinking).filter(([name]) => fields.includes(name)));
}

/**
 * The nearest settings that the provider takes. A change of the session after a message was accepted, another catalogue and
 * older rows all leave pairs that no request was judged for. `max_tokens` and the model hold; thinking gives way.
 */
function acceptable(entry: CatalogueEntry | undefined, { maxTokens, temperature, ...limits }: Limits) {
  const thinking = acceptableThinking(entry, limits.thinking);
  if (thinking === null || thinking.type === 'disabled') return { maxTokens, temperature, thinking };
  const isOn = { maxTokens, temperature: null, thinking };
  if (thinking.type !== 'enabled') return isOn;
  const budget = Math.min(Number(thinking.budget_tokens), maxTokens - 1);
  if (!Number.isInteger(budget) || budget < THINKING_BUDGET_MIN)
    return { maxTokens, temperature, thinking: null };
  return { ...isOn, thinking: { ...thinking, budget_tokens: budget } };
}

export function createConversation({ messages, catalogue }: ConversationDeps) {
  const branchOf = createBranches(messages);
  const leftOut = createLeftOut();

  /** The turn's own part: the message as it is now, with the complete steps of its reply. */
  async function ownMessages({ user, reply, step }: ConversationOf): Promise<ModelMessage[]> {
    // Before the first step is complete there is nothing to read, and the model is asked that much earlier.
    const parts = step > 1 ? (await partsOf(messages, [reply.id])).get(reply.id) : undefined;
    return [...render(user, NO_PARTS), ...render(reply, parts ?? NO_PARTS)];
  }

  /** What the settings of the session and the message say. */
  function settingsOf({ session, user, model, tools }: ConversationOf): Omit<ModelRequest, 'messages'> {
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
      tools,
      ...acceptable(entry, {
        maxTokens: Math.min(own.max_tokens ?? defaults.max_tokens ?? MAX_TOKENS_DEFAULT, limit),
        temperature: temperature ?? null,
        thinking: own.thinking ?? defaults.thinking,
      }),
    };
  }

  /** The whole request for one step. `of.head` is the message before the user's own. */
  return async function conversation(of: ConversationOf): Promise<Conversation> {
    const found = await branchOf(of.head);
    // Another model may take what this one refuses.
    const keyOf = (id: string) => `${of.model} ${id}`;
    const branch = without(
      found,
      ({ id, standing }) => standing === 'refused' || leftOut.has(keyOf(id)),
    ).reverse();
    const suspects = branch.filter(({ standing }) => standing === 'suspect');
    const own = await ownMessages(of);
    const settings = settingsOf(of);
    const requestOf = (before: RenderedMessage[]): ModelRequest => ({
      ...settings,
      messages: withoutRepeatedProviderCalls([...before.flatMap((each) => each.messages), ...own]),
    });
    const request = requestOf(branch);
    if (suspects.length === 0) return { request };
    return {
      request,
      lighter: {
        request: requestOf(without(branch, ({ standing }) => standing === 'suspect')),
        taken() {
          for (const { id } of suspects) leftOut.add(keyOf(id));
        },
      },
    };
  };
}
