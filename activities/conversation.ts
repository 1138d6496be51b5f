// Builds the model's request: the branch up to the message that the model replies to.
import type { ErrorDetail } from '../src/contracts/errors.ts';
import { parseJson, stringifyJson } from '../src/contracts/json.ts';
import {
  type InputBlock,
  isTerminal,
  MAX_TOKENS_DEFAULT,
  THINKING_BUDGET_MIN,
} from '../src/contracts/messages.ts';
import { adaptsThinking, type Catalogue, refusesThinking } from '../src/models/catalogue.ts';
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
 * How a reply affects later requests. `refused`: the provider refuses every request that contains the turn. `suspect`:
 * the provider refused the request because of its content or a setting. Error texts don't tell which, so the turn stays
 * until a request with the turn is refused again. A prompt that was too long may fit later, with another model or a
 * smaller `max_tokens`.
 */
function standingOf({ role, stop_reason, error }: MessageRow): Standing {
  if (role === 'user') return 'good';
  if (kindOfStop(stop_reason) === 'refused') return 'refused';
  const code = error === null ? null : (JSON.parse(error) as ErrorDetail).code;
  return code === 'model_invalid_request' || code === 'context_too_long' ? 'suspect' : 'good';
}

/** The branch without the excluded replies and their user messages. */
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

/** After this many single cache misses, the rest of the branch is read in ranges. */
const SINGLE_READS_MAX = 2;

/** Steps and calls by reply id. */
async function partsOf(messages: MessageRows, replyIds: string[]): Promise<Map<string, Parts>> {
  const parts = new Map(replyIds.map((id): [string, Parts] => [id, { steps: [], calls: [] }]));
  for (const step of await messages.steps(replyIds)) parts.get(step.reply_id)?.steps.push(step);
  for (const call of await messages.toolCalls(replyIds)) parts.get(call.message_id)?.calls.push(call);
  return parts;
}

/** Reads branches of finished messages in the form that the model sees. */
function createBranches(messages: MessageRows) {
  const cache = createBranchCache();

  async function renderAll(rows: MessageRow[]): Promise<RenderedMessage[]> {
    const replies = rows.filter((row) => row.role === 'assistant').map((row) => row.id);
    const parts = await partsOf(messages, replies);
    return rows.map((row) => {
      const own = parts.get(row.id) ?? NO_PARTS;
      const ids = { id: row.id, parentId: row.parent_id };
      const rendered = { ...ids, messages: render(row, own), standing: standingOf(row) };
      // An unfinished reply isn't cached because its content still changes.
      if (isTerminal(row.status)) cache.put(rendered);
      return rendered;
    });
  }

  /** Reads messages missing from the cache, starting at the newest. */
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

/** The step to request, with its message, its head and the model name for the provider. */
export interface ConversationOf {
  session: SessionRow;
  user: MessageRow;
  reply: MessageRow;
  /** The step to request, counted from 1. */
  step: number;
  head: string | null;
  model: string;
  tools: ModelTool[];
}

export interface Conversation {
  request: ModelRequest;
  /** The same request without suspect turns, for a provider that refuses the full request. Undefined if no turn is suspect. */
  lighter?: {
    request: ModelRequest;
    /** Records that the provider accepted this request, so later requests omit the suspect turns. */
    taken(): void;
  };
}

/** Suspect turns remembered after a second refusal. After eviction or in another process, one more refusal costs nothing. */
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
  thinking: ReturnType<typeof acceptableThinking>;
};

/** The fields that the provider accepts for each type. */
const THINKING_FIELDS: Record<string, string[]> = {
  enabled: ['type', 'budget_tokens', 'display'],
  adaptive: ['type', 'display'],
};

/** `asked` is the name that the session gives. */
function acceptableThinking(
  asked: CatalogueEntry | undefined,
  entry: CatalogueEntry | undefined,
  thinking: TurnOptions['thinking'],
) {
  if (!thinking) return null;
  if (refusesThinking(entry, thinking.type) && !adaptsThinking(asked, thinking.type)) return null;
  const fields = THINKING_FIELDS[thinking.type] ?? ['type'];
  return Object.fromEntries(Object.entries(thinking).filter(([name]) => fields.includes(name)));
}

/**
 * The nearest settings that the provider accepts. A changed session, another catalogue or older rows can combine
 * settings that no request validated together. `max_tokens` and the model take precedence over thinking.
 */
function acceptable({ maxTokens, temperature, thinking }: Limits) {
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

  /** The current turn's part: the user message and the complete steps of the reply. */
  async function ownMessages({ user, reply, step }: ConversationOf): Promise<ModelMessage[]> {
    // Before the first step is complete there are no parts. Skipping the read starts the model call earlier.
    const parts = step > 1 ? (await partsOf(messages, [reply.id])).get(reply.id) : undefined;
    return [...render(user, NO_PARTS), ...render(reply, parts ?? NO_PARTS)];
  }

  /** The request settings from session and message. */
  function settingsOf({ session, user, model, tools }: ConversationOf): Omit<ModelRequest, 'messages'> {
    const defaults: TurnOptions = JSON.parse(session.turn_options);
    const own: TurnOptions = JSON.parse(user.turn_options);
    const entry = catalogue.find(model);
    const asked = catalogue.find(session.model);
    const limit = entry?.maxOutputTokens ?? MAX_TOKENS_DEFAULT;
    // A model that refuses temperature runs without it. The session's warnings mention this.
    const temperature =
      entry?.acceptsTemperature === false ? null : (own.temperature ?? defaults.temperature);
    return {
      model,
      system: session.system_prompt === '' ? null : session.system_prompt,
      tools,
      ...acceptable({
        maxTokens: Math.min(own.max_tokens ?? defaults.max_tokens ?? MAX_TOKENS_DEFAULT, limit),
        temperature: temperature ?? null,
        thinking: acceptableThinking(asked, entry, own.thinking ?? defaults.thinking),
      }),
    };
  }

  /** The whole request for one step. `of.head` is the message before the user's own. */
  return async function conversation(of: ConversationOf): Promise<Conversation> {
    const found = await branchOf(of.head);
    // Another model may accept a turn that this model refuses.
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
