// Renders a reply for the model: the text and calls of each step, then the results. Ids and names come from our own
// rows, so a provider's duplicate, empty or odd value never returns to the provider.
import { parseJson, stringifyJson } from '../src/contracts/json.ts';
import { isTerminal } from '../src/contracts/messages.ts';
import { UNNAMED } from '../src/models/clean-block.ts';
import type { ModelBlock, ModelMessage } from '../src/models/port.ts';
import { isBlank } from '../src/models/safe-text.ts';
import { isSignedThinking, isThinking } from '../src/models/thoughts.ts';
import { isRecord } from '../src/models/tool-input.ts';
import type { MessageRow, StepRow, ToolCallRow } from '../src/stores/schema.ts';
import { STEP_SEPARATOR } from '../src/views/messages.ts';

/** Steps and calls of a reply, both in order. */
export interface Parts {
  steps: StepRow[];
  calls: ToolCallRow[];
}

/** A step with parsed blocks and its call rows by position. */
interface Step {
  blocks: ModelBlock[];
  calls: ToolCallRow[];
}

/** The API accepts names of 1 to 200 of these characters in a `tool_use` block. */
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

/** The API refuses a blank error result, and a blank text in any result. */
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

/** The API accepts only these ids for its own tools. */
const hasLegalId = ({ type, id }: ModelBlock): boolean =>
  typeof id === 'string' &&
  (type === 'server_tool_use' ? /^srvtoolu_[a-zA-Z0-9_]+$/ : /^[a-zA-Z0-9_-]+$/).test(id);

/**
 * Ids of the tools that the provider ran itself. Such a call and its result return verbatim as a pair. The provider
 * refuses half a pair and duplicate ids.
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

/** The API refuses a message that ends with a thinking block. */
const withoutLastThoughts = (blocks: ModelBlock[]): ModelBlock[] =>
  blocks.slice(0, blocks.findLastIndex((block) => !isThinking(block)) + 1);

/** Thinking belongs to its own turn. There the API requires the signature beside the calls. */
function isShown(block: ModelBlock, providerIds: Set<unknown>, isOwnTurn: boolean): boolean {
  if (block.type === 'text') return block.text !== '';
  if (isThinking(block)) return isOwnTurn && isSignedThinking(block);
  if (PROVIDER_CALL.test(block.type)) return providerIds.has(block.id);
  return PROVIDER_RESULT.test(block.type) && providerIds.has(block.tool_use_id);
}

/**
 * The n-th `tool_use` block of a step belongs to its n-th row. A block without a row was cut off and never ran, so the
 * model doesn't see the block.
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

/** A row without a block has no call that a result could follow. */
function resultsOf({ blocks, calls }: Step): ModelBlock[] {
  const called = blocks.filter(({ type }) => type === 'tool_use').length;
  return calls.slice(0, called).map(toolResult);
}

const textOf = (blocks: ModelBlock[]): string =>
  blocks.map((block) => (block.type === 'text' ? String(block.text) : '')).join('');

/** Text of an interrupted or failed reply after its complete steps. */
function unfinishedText({ text, status }: MessageRow, steps: Step[]): string {
  if (!isTerminal(status)) return '';
  const complete = steps
    .map(({ blocks }) => textOf(blocks))
    .filter((each) => each !== '')
    .join(STEP_SEPARATOR);
  return text.startsWith(complete) ? text.slice(complete.length).trimStart() : text;
}

/** A reply as messages: each step, followed by its results in a user message. */
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
 * Gateways restart their tool ids in each reply, and the API refuses duplicates in a request. The latest pair stays,
 * because the current turn needs it. An unchanged message stays the same object.
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
