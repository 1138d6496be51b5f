// Builds one reply from the events of a stream. Pure: no SDK, no clock, no I/O. Accepts events in any order and with any
// indexes. One invariant: the joined texts of the stored blocks equal the text returned by `add`.

import { isNumber, stringifyJson, toDouble } from '../contracts/json.ts';
import { cleanBlock, type RawBlock } from './clean-block.ts';
import type { ModelReply, ModelUsage } from './port.ts';
import {
  BLOCK_DEPTH_MAX,
  BLOCKS_MAX,
  CALLS_MAX,
  CITATIONS_MAX,
  MalformedEventError,
  NAME_CHARS_MAX,
  REPLY_CHARS_MAX,
  ReplyBoundError,
  TOKENS_MAX,
} from './reply-limits.ts';
import { cleanName, createTextCleaner, isDeeperThan, type TextCleaner } from './safe-text.ts';
import { createStrayInput } from './stray-input.ts';
import { isRecord } from './tool-input.ts';

export interface ReplyAccumulator {
  /**
   * Takes one parsed event. Unknown types of events and deltas are ignored, as the API's versioning policy asks.
   * @returns the visible text of the event, '' when none.
   * @throws {MalformedEventError}
   */
  add(event: unknown): string;
  /** True after `message_stop`, or after an `end` that counts as one. Only then is the reply complete. */
  isComplete(): boolean;
  /** True after the stop reason, which follows all content. From then on, the end of the stream completes the reply. */
  isAnswered(): boolean;
  /**
   * Takes the end of the stream. After a stop reason the reply is complete, because some gateways omit `message_stop`.
   * @returns the visible text still held back.
   */
  end(): string;
  /** Tokens so far, also for a broken stream. A new object whenever a count has grown. */
  usage(): ModelUsage;
  /** Grows with each event that carries content. Pings, empty pieces and unknown events don't count. */
  progress(): number;
  /** Call only for a complete reply. */
  reply(): ModelReply;
}

interface OpenBlock extends RawBlock {
  /** The block's position in order of starts. */
  position: number;
  cleaner: TextCleaner;
}

interface State {
  blocks: OpenBlock[];
  /** The blocks that still accept deltas, by index and kind. */
  open: Map<string, OpenBlock>;
  /** The text block with the latest text. */
  speaking: OpenBlock | null;
  model: string;
  /** The content and stop reason of `message_start`. They count only if no later event has either. */
  early: { content: unknown[]; stopReason: string | null };
  stopReason: string | null;
  usage: ModelUsage;
  chars: number;
  progress: number;
  calls: number;
  strayInput: ReturnType<typeof createStrayInput>;
  citations: number;
  isComplete: boolean;
}

type Fields = Record<string, unknown>;

export function createReplyAccumulator(): ReplyAccumulator {
  const state: State = {
    blocks: [],
    open: new Map(),
    speaking: null,
    model: '',
    early: { content: [], stopReason: null },
    stopReason: null,
    usage: { inputTokens: 0, outputTokens: 0, cacheCreationInputTokens: 0, cacheReadInputTokens: 0 },
    ...{ chars: 0, progress: 0, calls: 0, citations: 0 },
    strayInput: createStrayInput(),
    isComplete: false,
  };
  return {
    add: (event) => apply(state, fieldsOf(event, 'event')),
    isComplete: () => state.isComplete,
    isAnswered: () => state.stopReason !== null,
    end: () => (state.stopReason === null && !isWholeEarly(state) ? '' : complete(state)),
    usage: () => state.usage,
    progress: () => state.progress,
    reply: () => toReply(state),
  };
}

/** Chunks of chat completions. The same address would send them again. */
const OTHER_API = 'Its answer is one of another API (chat completions).';

function apply(state: State, event: Fields): string {
  switch (event.type) {
    case 'message_start':
      return startMessage(state, event.message);
    case 'content_block_start':
      return startBlock(state, event.index, fieldsOf(event.content_block, 'content_block'));
    case 'content_block_delta':
      return addDelta(state, event.index, fieldsOf(event.delta, 'delta'));
    case 'content_block_stop':
      return stopBlock(state, event.index);
    case 'message_delta':
      return changeMessage(state, event);
    case 'message_stop':
      mergeUsage(state, event.usage);
      return complete(state);
    default:
      if (Array.isArray(event.choices) && event.choices.length > 0) throw new MalformedEventError(OTHER_API);
      return '';
  }
}

function startMessage(state: State, message: unknown): string {
  if (!isRecord(message)) return '';
  if (state.model === '' && typeof message.model === 'string') {
    state.model = cleanName(message.model, NAME_CHARS_MAX);
    state.progress += 1;
  }
  if (state.early.content.length === 0) state.early.content = contentOf(message);
  state.early.stopReason ??= stopReasonOf(message);
  mergeUsage(state, message.usage);
  return '';
}

/** The blocks of a message. Some gateways send a string instead. */
function contentOf({ content }: Fields): unknown[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return Array.isArray(content) ? content : [];
}

function stopReasonOf({ stop_reason: reason }: Fields): string | null {
  return typeof reason === 'string' && reason !== '' ? cleanName(reason, NAME_CHARS_MAX) : null;
}

const isWholeEarly = ({ blocks, early }: State): boolean =>
  blocks.length === 0 && early.content.length > 0 && early.stopReason !== null;

/** The blocks of `message_start` are the reply if no other blocks came. Gateways that stream may repeat them. */
function takeEarly(state: State): string {
  state.stopReason ??= state.early.stopReason;
  if (state.blocks.length > 0) return '';
  return state.early.content
    .map((block, index) => startBlock(state, index, fieldsOf(block, 'content_block')))
    .join('');
}

function changeMessage(state: State, event: Fields): string {
  if (isRecord(event.delta)) state.stopReason = stopReasonOf(event.delta) ?? state.stopReason;
  mergeUsage(state, event.usage);
  return '';
}

/** Counts are cumulative and never shrink. A lower, missing or null count is ignored. */
function mergeUsage(state: State, wire: unknown): void {
  if (!isRecord(wire)) return;
  const { usage } = state;
  const grown: ModelUsage = {
    inputTokens: largest(usage.inputTokens, wire.input_tokens),
    outputTokens: largest(usage.outputTokens, wire.output_tokens),
    cacheCreationInputTokens: largest(usage.cacheCreationInputTokens, wire.cache_creation_input_tokens),
    cacheReadInputTokens: largest(usage.cacheReadInputTokens, wire.cache_read_input_tokens),
  };
  const hasGrown = (Object.keys(grown) as (keyof ModelUsage)[]).some((name) => grown[name] !== usage[name]);
  if (hasGrown) state.usage = grown;
}

function largest(known: number, told: unknown): number {
  // A count may be spelled `1e3`. The parser keeps such digits as an exact number.
  const count = isNumber(told) ? toDouble(told) : Number.NaN;
  return Number.isInteger(count) && count <= TOKENS_MAX ? Math.max(known, count) : known;
}

/** The kind of deltas a block takes. */
type Kind = 'text' | 'thinking' | 'other';

const kindOf = (type: string): Kind => (type === 'text' || type === 'thinking' ? type : 'other');

const KIND_OF_DELTA = new Map<unknown, Kind>([
  ['text_delta', 'text'],
  ['citations_delta', 'text'],
  ['thinking_delta', 'thinking'],
  ['signature_delta', 'thinking'],
  ['input_json_delta', 'other'],
]);

/** The field of each delta type. A delta without a type is recognized by its field. */
const TYPE_OF_FIELD = {
  text: 'text_delta',
  citation: 'citations_delta',
  thinking: 'thinking_delta',
  signature: 'signature_delta',
  partial_json: 'input_json_delta',
};

function typeOfDelta(delta: Fields): unknown {
  if (delta.type !== undefined && delta.type !== null && delta.type !== '') return delta.type;
  return Object.entries(TYPE_OF_FIELD).find(([field]) => field in delta)?.[1];
}

const KINDS: readonly Kind[] = ['text', 'thinking', 'other'];

/** An index identifies a block, whatever its value. Gateways send no index, strings, or the same index twice. */
function keyOf(index: unknown, kind: Kind): string {
  if (isNumber(index)) return `${kind} ${toDouble(index)}`;
  return typeof index === 'string' ? `${kind} ${index}` : kind;
}

/** Replaces an input too deep for JSON.stringify. The input becomes unreadable, like the same input in pieces. */
const TOO_DEEP = `(nested deeper than ${BLOCK_DEPTH_MAX})`;

function startBlock(state: State, index: unknown, started: Fields): string {
  const type = typeof started.type === 'string' ? cleanName(started.type, NAME_CHARS_MAX) : '';
  if (type === '') throw new MalformedEventError('A content block has no type.');
  const rest = stopBlock(state, index);
  const isInputTooDeep = type.endsWith('tool_use') && isDeeperThan(started.input, BLOCK_DEPTH_MAX);
  const block = { ...started, type, ...(isInputTooDeep && { input: TOO_DEEP }) };
  countJson(state, block);
  if (type === 'tool_use') state.calls += 1;
  if (state.calls > CALLS_MAX) throw new ReplyBoundError(`The reply calls more than ${CALLS_MAX} tools.`);
  const open = openBlock(state, index, block);
  if (type.endsWith('tool_use')) state.strayInput.start(open);
  if (type === 'thinking') {
    open.thinking = textOf(started.thinking);
    open.signature = textOf(started.signature);
  }
  if (type !== 'text') return rest;
  if (Array.isArray(started.citations))
    for (const citation of started.citations) addCitation(state, open, citation);
  return rest + speak(state, open, textOf(started.text));
}

function openBlock(state: State, index: unknown, started: RawBlock['started']): OpenBlock {
  if (state.blocks.length >= BLOCKS_MAX) {
    throw new ReplyBoundError(`The reply has more than ${BLOCKS_MAX} content blocks.`);
  }
  const open: OpenBlock = {
    started,
    ...{ text: '', thinking: '', signature: '', json: '', citations: [] },
    position: state.blocks.length,
    cleaner: createTextCleaner(),
  };
  state.blocks.push(open);
  state.open.set(keyOf(index, kindOf(started.type)), open);
  state.progress += 1;
  return open;
}

/**
 * A delta belongs to the open block of its own kind at its index. Without such a block, text and thinking open one, and
 * input counts as stray. Citations and signatures are dropped.
 */
function addDelta(state: State, index: unknown, delta: Fields): string {
  const type = typeOfDelta(delta);
  const kind = KIND_OF_DELTA.get(type);
  if (kind === undefined) return '';
  const open = state.open.get(keyOf(index, kind));
  switch (type) {
    case 'text_delta': {
      const text = counted(state, delta.text);
      return text === '' ? '' : speak(state, open ?? openBlock(state, index, { type: 'text' }), text);
    }
    case 'thinking_delta': {
      const thinking = counted(state, delta.thinking);
      if (thinking !== '') (open ?? openBlock(state, index, { type: 'thinking' })).thinking += thinking;
      return '';
    }
    case 'signature_delta':
      if (open) open.signature += counted(state, delta.signature);
      return '';
    case 'input_json_delta':
      addInput(state, open, counted(state, jsonOf(delta.partial_json)));
      return '';
    default:
      if (open) addCitation(state, open, delta.citation);
      return '';
  }
}

function addInput(state: State, open: OpenBlock | undefined, piece: string): void {
  if (open) open.json += piece;
  else state.strayInput.add(piece);
}

function addCitation(state: State, open: OpenBlock, citation: unknown): void {
  state.citations += 1;
  if (state.citations > CITATIONS_MAX) {
    throw new ReplyBoundError(`The reply has more than ${CITATIONS_MAX} citations.`);
  }
  countJson(state, citation);
  if (isRecord(citation)) open.citations.push(citation);
}

/** Adds text to its own block, or to a later block that already has text. Stored text then reads like the streamed text. */
function speak(state: State, own: OpenBlock, words: string): string {
  if (words === '') return '';
  const { speaking } = state;
  const target = speaking && speaking.position > own.position ? speaking : own;
  const held = target === speaking ? '' : hush(state);
  state.speaking = target;
  const text = target.cleaner.push(words);
  target.text += text;
  return held + text;
}

/** Releases the text that the current text block holds back. */
function hush({ speaking }: State): string {
  if (speaking === null) return '';
  const rest = speaking.cleaner.end();
  speaking.text += rest;
  return rest;
}

/** A stop without a started block is ignored. */
function stopBlock(state: State, index: unknown): string {
  const isSpeaking = state.open.get(keyOf(index, 'text')) === state.speaking;
  for (const kind of KINDS) state.open.delete(keyOf(index, kind));
  return isSpeaking ? hush(state) : '';
}

function complete(state: State): string {
  state.isComplete = true;
  const early = takeEarly(state);
  state.strayInput.settle();
  state.open.clear();
  return early + hush(state);
}

function toReply(state: State): ModelReply {
  return {
    blocks: state.blocks.flatMap((open) => cleanBlock(open) ?? []),
    stopReason: state.stopReason,
    model: state.model,
    usage: state.usage,
  };
}

function counted(state: State, piece: unknown): string {
  const text = textOf(piece);
  state.chars += text.length;
  state.progress += text.length;
  if (state.chars <= REPLY_CHARS_MAX) return text;
  throw new ReplyBoundError(`The reply is longer than ${REPLY_CHARS_MAX} characters.`);
}

/** Counts JSON that is stored unchanged. */
function countJson(state: State, value: unknown): void {
  if (isDeeperThan(value, BLOCK_DEPTH_MAX)) {
    throw new ReplyBoundError(`A content block is nested deeper than ${BLOCK_DEPTH_MAX}.`);
  }
  counted(state, stringifyJson(value) ?? '');
}

/** One piece of an input. Some gateways send the object itself. */
const jsonOf = (piece: unknown): unknown =>
  isRecord(piece) && !isDeeperThan(piece, BLOCK_DEPTH_MAX) ? stringifyJson(piece) : piece;

/** Null and undefined count as empty text. */
function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  throw new MalformedEventError('An event holds something else where its text should be.');
}

function fieldsOf(value: unknown, what: string): Fields {
  if (isRecord(value)) return value;
  throw new MalformedEventError(`The stream's ${what} is not a JSON object.`);
}
