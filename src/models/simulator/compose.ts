// Composes the simulator's replies. Each reply says it is simulated and shows facts from the request.

import { parseJson } from '../../contracts/json.ts';
import { type Conversation, lastUserText, textOf } from './conversation.ts';
import { createId } from './ids.ts';
import { type Markers, withoutMarkers } from './markers.ts';
import { plainCalls } from './plain-words.ts';
import { signatureOf } from './signature.ts';
import type { WireBlock, WireMessage } from './wire-message.ts';

export interface Answer {
  blocks: WireBlock[];
  stopReason: string;
  outputTokens: number;
}

/** Quoting a novel back would make every demo unreadable. */
const QUOTE_CHARS_MAX = 2_000;
const EARLIER_CHARS_MAX = 200;
const EARLIER_MESSAGES_MAX = 3;

const FILLER =
  'This simulated answer goes on with words of no meaning until it has the length that was asked for.'.split(
    ' ',
  );

export function composeAnswer(conversation: Conversation, markers: Markers, echoOnly: boolean): Answer {
  if (markers.isEmpty) return finish([], 'end_turn', markers);
  const marked = findToolCalls(conversation, markers.rounds);
  const calls = marked.length > 0 || echoOnly ? marked : findPlainCalls(conversation);
  const thinking = markers.isThinking ? [thinkingBlock()] : [];
  if (calls.length > 0)
    return finish([...thinking, ...callWords(conversation, markers.rounds), ...calls], 'tool_use', markers);
  const words = toWords(composeText(conversation, echoOnly), markers.tokens);
  const isCut = words.length > conversation.maxTokens;
  const text = words.slice(0, conversation.maxTokens).join('');
  return finish([...thinking, { type: 'text', text }], isCut ? 'max_tokens' : 'end_turn', markers);
}

/** One token per word, with the space before it. Joined again, the words are the text without trailing space. */
export function toWords(text: string, length: number | null = null): string[] {
  const words: string[] = text.trimEnd().match(/\s*\S+/g) ?? [];
  if (length === null) return words;
  while (words.length < length) words.push(` ${FILLER[words.length % FILLER.length]}`);
  return words.slice(0, length);
}

function finish(blocks: WireBlock[], stopReason: string, markers: Markers): Answer {
  const outputTokens = blocks.reduce((sum, block) => sum + tokensOf(block), 0);
  return { blocks, stopReason: markers.stopReason ?? stopReason, outputTokens: Math.max(1, outputTokens) };
}

function tokensOf(block: WireBlock): number {
  if (block.type === 'text') return toWords(String(block.text)).length;
  return Math.ceil(JSON.stringify(block).length / 4);
}

function composeText(conversation: Conversation, echoOnly: boolean): string {
  const last = conversation.messages.at(-1);
  const results = last?.content.filter((block) => block.type === 'tool_result') ?? [];
  const said = last ? textOf(last) : '';
  const parts = results.map((block) => describeResult(block, conversation.messages));
  if (results.length === 0 || said !== '')
    parts.push(echoOnly ? withoutMarkers(said) : describeText(conversation));
  return `[simulated] ${parts.join('\n')}`;
}

function describeText({ messages, hasSystem, tools }: Conversation): string {
  const texts = messages.filter((message) => message.role === 'user').map(textOf);
  const said = texts.filter((text) => text !== '').map(withoutMarkers);
  const earlier = said.slice(0, -1).slice(-EARLIER_MESSAGES_MAX);
  const facts = [
    "No model key is set, so this is OpenClaw's built-in simulator.",
    `You said: "${shorten(said.at(-1) ?? '', QUOTE_CHARS_MAX)}".`,
    `That is user message ${said.length} of this conversation.`,
  ];
  if (earlier.length > 0)
    facts.push(
      `Before, you said: ${earlier.map((text) => `"${shorten(text, EARLIER_CHARS_MAX)}"`).join(', ')}.`,
    );
  if (hasSystem) facts.push('There is a system prompt.');
  if (tools.length > 0) facts.push(`Tools I may use: ${tools.map(({ name }) => name).join(', ')}.`);
  return facts.join(' ');
}

function describeResult(block: WireBlock, messages: WireMessage[]): string {
  const calls = messages.flatMap((message) => message.content).filter((call) => call.type === 'tool_use');
  const name = calls.findLast((call) => call.id === block.tool_use_id)?.name ?? 'unknown';
  return `Tool ${name} ${block.is_error === true ? 'failed' : 'said'}: ${contentText(block.content)}`;
}

function contentText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((block) => (block.type === 'text' ? String(block.text) : `(${block.type})`)).join('\n');
}

/** Counts the steps with tool calls since the user's last text. */
function roundsDone(messages: WireMessage[]): number {
  const asked = messages.findLastIndex((message) => message.role === 'user' && textOf(message) !== '');
  const since = messages.slice(asked + 1).filter(({ role }) => role === 'assistant');
  return since.filter(({ content }) => content.some((block) => block.type === 'tool_use')).length;
}

function callWords({ messages }: Conversation, rounds: number | null): WireBlock[] {
  return rounds === null ? [] : [{ type: 'text', text: `Round ${roundsDone(messages) + 1}.` }];
}

/** A reply to tool results describes them. Only new text or remaining rounds cause further calls. */
function findToolCalls({ messages, tools }: Conversation, rounds: number | null): WireBlock[] {
  const last = messages.at(-1);
  const isResult = last?.content.some((block) => block.type === 'tool_result') ?? false;
  const goesOn = roundsDone(messages) < (rounds ?? 1);
  const text = isResult && last && !goesOn ? textOf(last) : lastUserText(messages);
  return [...text.matchAll(/use tool ([A-Za-z0-9_-]{1,64})[ \t]*/g)].flatMap((match) => {
    const name = match[1] ?? '';
    if (!tools.some((tool) => tool.name === name)) return [];
    const input = readJsonObject(text.slice(match.index + match[0].length));
    return [{ type: 'tool_use', id: createId('toolu'), name, input }];
  });
}

/** Tool results come without a text, so they cause no further calls. */
function findPlainCalls({ messages, tools }: Conversation): WireBlock[] {
  const last = messages.at(-1);
  const text = last ? withoutMarkers(textOf(last)) : '';
  return plainCalls(text, tools).map((call) => ({ type: 'tool_use', id: createId('toolu'), ...call }));
}

/** @returns the JSON object at the start of the text, or {} without one, as for a tool without parameters. */
function readJsonObject(text: string): unknown {
  if (!text.startsWith('{')) return {};
  try {
    return parseJson(text.slice(0, endOfObject(text)));
  } catch {
    return {};
  }
}

/** A single pass: users may write megabytes of braces, and the simulator shares its process with the server. */
function endOfObject(text: string): number {
  let depth = 0;
  let isInString = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (isInString && character === '\\') at += 1;
    else if (character === '"') isInString = !isInString;
    else if (!isInString && character === '{') depth += 1;
    else if (!isInString && character === '}') depth -= 1;
    if (depth === 0) return at + 1;
  }
  return text.length;
}

const THOUGHT = 'The simulator thinks about what was said.';

const thinkingBlock = (): WireBlock => ({
  type: 'thinking',
  thinking: THOUGHT,
  signature: signatureOf(THOUGHT),
});

function shorten(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : `${text.slice(0, charsMax).toWellFormed()}...`;
}
