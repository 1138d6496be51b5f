// Builds one reply from the raw events of a stream. Pure: no SDK, no clock, no I/O.

import type { ModelBlock, ModelReply, ModelUsage } from './port.ts';
import { cleanText, createTextCleaner, type TextCleaner } from './safe-text.ts';
import { cleanToolInput, isDeeperThan, isRecord, parseToolInput } from './tool-input.ts';

/** Several times what any model writes in one reply; an endless stream of a broken gateway must not fill memory and log. */
const REPLY_CHARS_MAX = 4 * 1024 * 1024;

/** JSON of blocks that only the provider knows is kept as it is, so it must be such as can be written down again. */
const BLOCK_DEPTH_MAX = 64;

/** Names of models and reasons; a longer one is no name. */
const NAME_CHARS_MAX = 200;

/** A thousand times what any model takes: beyond it the number is a fault, and sums of such would fit no column. */
const TOKENS_MAX = 1_000_000_000;

/** Enough of a broken input to tell the model what was wrong with it. */
const INVALID_INPUT_CHARS_MAX = 4_000;

/** An event whose shape is not the protocol's; the stream cannot be trusted any more. */
export class MalformedEventError extends Error {
  override readonly name = 'MalformedEventError';
}

/** A stream that goes on and on. */
export class ReplyTooLongError extends MalformedEventError {}

export interface ReplyAccumulator {
  /**
   * Takes one parsed event; unknown types of events and deltas are ignored, as the API's versioning asks for.
   * @returns the visible text it adds, '' when none.
   * @throws {MalformedEventError}
   */
  add(event: unknown): string;
  /** Whether `message_stop` has come: only then is the reply whole. */
  isComplete(): boolean;
  /** Tokens so far, also of a stream that breaks off; another object whenever the stream has told of some. */
  usage(): ModelUsage;
  reply(): ModelReply;
}

interface OpenBlock {
  block: ModelBlock;
  json: string;
  cleaner: TextCleaner;
  isClosed: boolean;
}

interface State {
  blocks: Map<number, OpenBlock>;
  model: string;
  stopReason: string | null;
  usage: ModelUsage;
  chars: number;
  isComplete: boolean;
}

type Fields = Record<string, unknown>;

export function createReplyAccumulator(): ReplyAccumulator {
  const state: State = {
    blocks: new Map(),
    model: '',
    stopReason: null,
    usage: { inputTokens: 0, outputTokens: 0, cacheCreationInputTokens: 0, cacheReadInputTokens: 0 },
    chars: 0,
    isComplete: false,
  };
  return {
    add: (event) => apply(state, fieldsOf(event, 'event')),
    isComplete: () => state.isComplete,
    usage: () => state.usage,
    reply: () => toReply(state),
  };
}

function apply(state: State, event: Fields): string {
  switch (event.type) {
    case 'message_start':
      return startMessage(state, fieldsOf(event.message, 'message'));
    case 'content_block_start':
      return startBlock(state, event);
    case 'content_block_delta':
      return addDelta(state, blockAt(state, event.index), fieldsOf(event.delta, 'delta'));
    case 'content_block_stop':
      return closeBlock(blockAt(state, event.index));
    case 'message_delta':
      return changeMessage(state, event);
    case 'message_stop':
      state.isComplete = true;
      return [...state.blocks.values()].map(closeBlock).join('');
    default:
      return '';
  }
}

function startMessage(state: State, message: Fields): string {
  if (typeof message.model === 'string') state.model = nameOf(message.model);
  mergeUsage(state, message.usage);
  return '';
}

function changeMessage(state: State, event: Fields): string {
  if (isRecord(event.delta) && typeof event.delta.stop_reason === 'string') {
    state.stopReason = nameOf(event.delta.stop_reason);
  }
  mergeUsage(state, event.usage);
  return '';
}

/** Counts are cumulative: a later one replaces an earlier one, a missing or null one says nothing. */
function mergeUsage(state: State, wire: unknown): void {
  if (!isRecord(wire)) return;
  const { usage } = state;
  state.usage = {
    inputTokens: countOr(wire.input_tokens, usage.inputTokens),
    outputTokens: countOr(wire.output_tokens, usage.outputTokens),
    cacheCreationInputTokens: countOr(wire.cache_creation_input_tokens, usage.cacheCreationInputTokens),
    cacheReadInputTokens: countOr(wire.cache_read_input_tokens, usage.cacheReadInputTokens),
  };
}

function countOr(value: unknown, otherwise: number): number {
  const isCount = Number.isInteger(value) && (value as number) >= 0 && (value as number) <= TOKENS_MAX;
  return isCount ? (value as number) : otherwise;
}

function startBlock(state: State, event: Fields): string {
  const started = fieldsOf(event.content_block, 'content_block');
  if (typeof event.index !== 'number' || typeof started.type !== 'string') {
    throw new MalformedEventError('A content block started without an index or a type.');
  }
  countJson(state, started);
  const block = { ...started } as ModelBlock;
  if (block.citations === null) delete block.citations;
  const open: OpenBlock = { block, json: '', cleaner: createTextCleaner(), isClosed: false };
  state.blocks.set(event.index, open);
  if (block.type !== 'text') return '';
  block.text = '';
  return addText(state, open, started.text ?? '');
}

function addDelta(state: State, open: OpenBlock, delta: Fields): string {
  switch (delta.type) {
    case 'text_delta':
      return addText(state, open, delta.text);
    case 'thinking_delta':
      open.block.thinking = textOf(open.block.thinking ?? '') + counted(state, delta.thinking);
      return '';
    case 'signature_delta':
      open.block.signature = counted(state, delta.signature);
      return '';
    case 'input_json_delta':
      open.json += counted(state, delta.partial_json);
      return '';
    case 'citations_delta':
      countJson(state, delta.citation);
      open.block.citations = [...asList(open.block.citations), delta.citation];
      return '';
    default:
      return '';
  }
}

function addText(state: State, open: OpenBlock, piece: unknown): string {
  const text = open.cleaner.push(counted(state, piece));
  open.block.text = textOf(open.block.text ?? '') + text;
  return text;
}

function closeBlock(open: OpenBlock): string {
  if (open.isClosed) return '';
  open.isClosed = true;
  if (open.json !== '' || open.block.type.endsWith('tool_use')) closeInput(open);
  if (open.block.type !== 'text') return '';
  const rest = open.cleaner.end();
  open.block.text = textOf(open.block.text) + rest;
  return rest;
}

/** A broken input is no reason to lose the reply: the caller can answer the call with an error result. */
function closeInput({ block, json }: OpenBlock): void {
  const input = json === '' && isRecord(block.input) ? cleanToolInput(block.input) : parseToolInput(json);
  block.input = input.ok ? input.value : {};
  if (!input.ok) block.invalid_input_json = cleanText(json.slice(0, INVALID_INPUT_CHARS_MAX));
}

function toReply(state: State): ModelReply {
  const ordered = [...state.blocks].sort(([left], [right]) => left - right).map(([, open]) => open.block);
  return {
    // The API refuses empty text blocks when they are sent back to it.
    blocks: ordered.filter((block) => block.type !== 'text' || block.text !== ''),
    stopReason: state.stopReason,
    model: state.model,
    usage: state.usage,
  };
}

function blockAt(state: State, index: unknown): OpenBlock {
  const open = typeof index === 'number' ? state.blocks.get(index) : undefined;
  if (open === undefined)
    throw new MalformedEventError('An event belongs to a content block that never started.');
  return open;
}

function counted(state: State, piece: unknown): string {
  const text = textOf(piece);
  state.chars += text.length;
  if (state.chars <= REPLY_CHARS_MAX) return text;
  throw new ReplyTooLongError(`The reply is longer than ${REPLY_CHARS_MAX} characters.`);
}

/** What is kept as it came. */
function countJson(state: State, value: unknown): void {
  if (isDeeperThan(value, BLOCK_DEPTH_MAX))
    throw new MalformedEventError('A content block is nested too deep.');
  counted(state, JSON.stringify(value) ?? '');
}

const nameOf = (name: string): string => cleanText(name.slice(0, NAME_CHARS_MAX));

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new MalformedEventError('An event holds something else where its text should be.');
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function fieldsOf(value: unknown, what: string): Fields {
  if (isRecord(value)) return value;
  throw new MalformedEventError(`The stream's ${what} is not a JSON object.`);
}
