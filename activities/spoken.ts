// What the model is shown of a reply: the words and calls of each step, followed by the results. Ids and names are rebuilt
// from our own rows, so a duplicate, empty or odd value of a provider never goes back to it.
import { parseJson, stringifyJson } from '../src/contracts/json.ts';
import { isTerminal } from '../src/contracts/messages.ts';
import { UNNAMED } from '../src/models/clean-block.ts';
import type { ModelBlock, ModelMessage } from '../src/models/port.ts';
import { isBlank } from '../src/models/safe-text.ts';
import { isSignedThinking, isThinking } from '../src/models/thoughts.ts';
import { isRecord } from '../src/models/tool-input.ts';
import type { MessageRow, StepRow, ToolCallRow } from '../src/stores/schema.ts';
import { STEP_SEPARATOR } from '../src/views/messages.ts';

/** Steps and calls of a reply, both in their order. */
export interface Parts {
  steps: StepRow[];
  calls: ToolCallRow[];
}

/** A step with its blocks read, and the rows of its calls by position. */
interface Step {
  blocks: ModelBlock[];
  calls: ToolCallRow[];
}

/** The API takes names of 1 to 200 of these characters in a `tool_use` block. */
const NAME_CHARS_MAX = 200;

/** The name of a call as requests carry it. A known tool's name passes unchanged. */
export const wireName = (name: unknown): string =>
  (typeof name === 'string' && name !== '' ? name : UNNAMED)
    .slice(0, NAME_CHARS_MAX)
    .replace(/[^a-zA-Z0-9_-]/g, '_');

const toolUse = (block: ModelBlock, call: ToolCallRow): ModelBlock => ({
  type: 'tool_use',
  id: call.id,
  name: wireName(block.name),
  input: isRecord(block.input) ? block.input : {},
});

/** The API refuses a blank result that is an error, and a blank text in any result. */
const BLANK_RESULT = '(no output)';
const BLANK_ERROR = '(the tool failed and gave no reason)';

function wordsOf({ result, is_error }: ToolCallRow): string {
  const value: unknown = result === null ? '' : parseJson(result);
  const words = typeof value === 'string' ? value.toWellFormed() : stringifyJson(value);
  if (!isBlank(words)) return words;
  return is_error === 1 ? BLANK_ERROR : BLANK_RESULT;
}

const toolResult = (call: ToolCallRow): ModelBlock => ({
  type: 'tool_result',
  tool_use_id: call.id,
  content: wordsOf(call),
  ...(call.is_error === 1 ? { is_error: true } : {}),
});

const PROVIDER_CALL = /^(server|mcp)_tool_use$/;
const PROVIDER_RESULT = /_tool_result$/;

/** The API takes other ids of its own tools from nobody. */
const hasLegalId = ({ type, id }: ModelBlock): boolean =>
  typeof id === 'string' &&
  (type === 'server_tool_use' ? /^srvtoolu_[a-zA-Z0-9_]+$/ : /^[a-zA-Z0-9_-]+$/).test(id);

/**
 * Ids of the tools that the provider ran itself. Such a call and its result go back verbatim, as a pair: the provider
 * refuses half of one, and an id that appears twice.
 */
function idsOfProviderTools(blocks: ModelBlock[]): Set<unknown> {
  const calls = blocks.filter(({ type }) => PROVIDER_CALL.test(type));
  const called = calls.map(({ id }) => id);
  const answered = blocks.filter(({ type }) => PROVIDER_RESULT.test(type)).map((each) => each.tool_use_id);
  const isOnce = (ids: unknown[], id: unknown) => ids.indexOf(id) === ids.lastIndexOf(id);
  const isPair = (id: unknown) => answered.includes(id) && isOnce(called, id) && isOnce(answered, id);
  return new Set(
    calls
      .filter(hasLegalId)
      .map(({ id }) => id)
      .filter(isPair),
  );
}

/** The API refuses citations of other providers. The stored block keeps its citations for clients. */
const withoutCitations = (block: ModelBlock): ModelBlock =>
  block.type === 'text' ? { type: 'text', text: block.text } : block;

/** The API refuses a message that ends with a thought. */
const withoutLastThoughts = (blocks: ModelBlock[]): ModelBlock[] =>
  blocks.slice(0, blocks.findLastIndex((block) => !isThinking(block)) + 1);

/** Thoughts belong to the turn they were made in: there their signature is asked for beside the calls they led to. */
function isShown(block: ModelBlock, providerIds: Set<unknown>, isOwnTurn: boolean): boolean {
  if (block.type === 'text') return block.text !== '';
  if (isThinking(block)) return isOwnTurn && isSignedThinking(block);
  if (PROVIDER_CALL.test(block.type)) return providerIds.has(block.id);
  return PROVIDER_RESULT.test(block.type) && providerIds.has(block.tool_use_id);
}

/**
 * The n-th `tool_use` block of a step belongs to its n-th row. A block without a row was cut off and never ran, so it is
 * left out.
 */
function stepBlocks({ blocks, calls }: Step, isOwnTurn: boolean): ModelBlock[] {
  const providerIds = idsOfProviderTools(blocks);
  const rows = calls.values();
  const shown = blocks.flatMap((block): ModelBlock[] => {
    if (block.type !== 'tool_use')
      return isShown(block, providerIds, isOwnTurn) ? [withoutCitations(block)] : [];
    const call = rows.next().value;
    return call ? [toolUse(block, call)] : [];
  });
  return withoutLastThoughts(shown);
}

/** Rows without a block of theirs have no call that a result could follow. */
function resultsOf({ blocks, calls }: Step): ModelBlock[] {
  const called = blocks.filter(({ type }) => type === 'tool_use').length;
  return calls.slice(0, called).map(toolResult);
}

const textOf = (blocks: ModelBlock[]): string =>
  blocks.map((block) => (block.type === 'text' ? String(block.text) : '')).join('');

/** What an interrupted or failed reply had said beyond its complete steps. */
function unfinishedText({ text, status }: MessageRow, steps: Step[]): string {
  if (!isTerminal(status)) return '';
  const complete = steps
    .map(({ blocks }) => textOf(blocks))
    .filter((each) => each !== '')
    .join(STEP_SEPARATOR);
  return text.startsWith(complete) ? text.slice(complete.length).trimStart() : text;
}

/** A reply as messages: after each step its results, as if a user had said these. */
export function spoken(reply: MessageRow, parts: Parts): ModelMessage[] {
  const isOwnTurn = !isTerminal(reply.status);
  const steps = parts.steps.map(({ n, blocks }): Step => {
    const calls = parts.calls.filter(({ step }) => step === n);
    return { blocks: parseJson<ModelBlock[]>(blocks), calls };
  });
  const said = steps.flatMap((step): ModelMessage[] => {
    const content = stepBlocks(step, isOwnTurn);
    const results = resultsOf(step);
    const answered: ModelMessage[] = results.length > 0 ? [{ role: 'user', content: results }] : [];
    return content.length > 0 ? [{ role: 'assistant', content }, ...answered] : answered;
  });
  const rest = unfinishedText(reply, steps);
  return rest === '' ? said : [...said, { role: 'assistant', content: [{ type: 'text', text: rest }] }];
}

const idsOfProviderCalls = ({ content }: ModelMessage): unknown[] =>
  content.filter(({ type }) => PROVIDER_CALL.test(type)).map(({ id }) => id);

/**
 * Gateways count the ids of their tools anew in each answer, and the API refuses one that appears twice in a request. The
 * latest pair stays, because the turn that goes on needs it. A message that loses nothing stays the same object.
 */
export function withoutRepeatedProviderCalls(messages: ModelMessage[]): ModelMessage[] {
  const later = new Set<unknown>();
  const kept = messages.toReversed().map((message): ModelMessage => {
    const own = idsOfProviderCalls(message);
    const repeated = new Set(own.filter((id) => later.has(id)));
    for (const id of own) later.add(id);
    if (repeated.size === 0) return message;
    const content = message.content.filter(({ type, id, tool_use_id }) =>
      PROVIDER_CALL.test(type)
        ? !repeated.has(id)
        : !(PROVIDER_RESULT.test(type) && repeated.has(tool_use_id)),
    );
    return { ...message, content: withoutLastThoughts(content) };
  });
  return kept.toReversed().filter(({ role, content }) => role === 'user' || content.length > 0);
}
