// Checks the messages of a request like the API, block by block.
import { isRecord } from '../../tool-input.ts';
import { RefusedError, refuse } from '../refused.ts';
import { isSigned } from '../signature.ts';
import type { WireBlock, WireMessage } from '../wire-message.ts';
import { isBlank } from './text.ts';

/** @throws {RefusedError} */
export function checkMessages(messages: WireMessage[]): void {
  if (messages[0]?.role !== 'user')
    throw new RefusedError(400, 'messages: first message must use the "user" role');
  for (const [index, message] of messages.entries()) checkMessage(message, index, messages.length);
  if (messages.at(-1)?.role === 'assistant')
    throw new RefusedError(
      400,
      'This model does not support assistant message prefill. The conversation must end with a user message.',
    );
}

function checkMessage({ role, content }: WireMessage, index: number, count: number): void {
  const isFinalAnswer = role === 'assistant' && index === count - 1;
  if (content.length === 0 && !isFinalAnswer)
    refuse(
      `messages.${index}`,
      'all messages must have non-empty content except for the optional final assistant message',
    );
  for (const [at, block] of content.entries()) {
    const place = `messages.${index}.content.${at}`;
    checkRole(block, role, place);
    if (CHECKS[block.type] === undefined && !OTHER_TYPES.test(block.type))
      refuse(place, `Input tag '${block.type}' found using 'type' does not match any of the expected tags`);
    CHECKS[block.type]?.(block, place);
  }
  const last = content.at(-1);
  if (isFinalAnswer && last?.type === 'text' && /\s$/.test(String(last.text)))
    refuse('messages', 'final assistant content cannot end with trailing whitespace');
  if (role === 'assistant' && last !== undefined && THOUGHTS.includes(last.type) && !isFinalAnswer)
    refuse(`messages.${index}`, 'The final block in an assistant message cannot be `thinking`.');
}

const THOUGHTS = ['thinking', 'redacted_thinking'];
const OF_ASSISTANTS = [...THOUGHTS, 'tool_use', 'server_tool_use'];
const OF_USERS = ['tool_result', 'image', 'document'];

function checkRole({ type }: WireBlock, role: WireMessage['role'], place: string): void {
  const foreign = role === 'user' ? OF_ASSISTANTS : OF_USERS;
  if (foreign.includes(type)) refuse(place, `\`${type}\` blocks are not permitted in ${role} messages`);
}

type Check = (block: WireBlock, place: string) => void;

/** Blocks of features missing from the simulator. They pass unread. */
const OTHER_TYPES =
  /^(image|document|search_result|container_upload|compaction|(server|mcp)_tool_use|[a-z_]+_tool_result)$/;

const CITATIONS = [
  'char_location',
  'page_location',
  'content_block_location',
  'search_result_location',
  'web_search_result_location',
];

const toList = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

const CHECKS: Record<string, Check> = {
  text(block, place) {
    requireFields(block, place, ['text', 'citations']);
    requireText(block, place);
    for (const [at, citation] of toList(block.citations).entries())
      if (!isRecord(citation) || !CITATIONS.includes(String(citation.type)))
        refuse(
          `${place}.text.citations.${at}`,
          "Input tag found using 'type' does not match any of the expected tags",
        );
  },
  thinking(block, place) {
    requireFields(block, place, ['thinking', 'signature']);
    if (typeof block.signature !== 'string' || block.signature === '')
      refuse(`${place}.thinking.signature`, 'Field required');
    if (!isSigned(String(block.thinking), block.signature))
      refuse(place, 'Invalid `signature` in `thinking` block');
  },
  redacted_thinking(block, place) {
    requireFields(block, place, ['data']);
    if (typeof block.data !== 'string' || block.data === '')
      refuse(`${place}.redacted_thinking.data`, 'Field required');
    // The simulator never redacts its thinking, so the block is foreign.
    refuse(place, 'Invalid `data` in `redacted_thinking` block');
  },
  tool_use(block, place) {
    requireFields(block, place, ['id', 'name', 'input', 'caller']);
    const { id, name, input } = block;
    if (!/^[a-zA-Z0-9_-]+$/.test(String(id ?? '')))
      refuse(`${place}.tool_use.id`, "String should match pattern '^[a-zA-Z0-9_-]+$'");
    if (typeof name !== 'string' || name.length < 1 || name.length > 200)
      refuse(`${place}.tool_use.name`, 'String should have at least 1 and at most 200 characters');
    if (!isRecord(input)) refuse(`${place}.tool_use.input`, 'Input should be a valid dictionary');
  },
  server_tool_use({ id }, place) {
    if (!/^srvtoolu_[a-zA-Z0-9_]+$/.test(String(id ?? '')))
      refuse(`${place}.server_tool_use.id`, "String should match pattern '^srvtoolu_[a-zA-Z0-9_]+$'");
  },
  tool_result(block, place) {
    requireFields(block, place, ['tool_use_id', 'content', 'is_error']);
    const parts = Array.isArray(block.content) ? block.content.filter(isRecord) : [];
    for (const [at, part] of parts.entries())
      if (part.type === 'text') requireText(part, `${place}.tool_result.content.${at}`);
    const isEmpty = parts.length === 0 && isBlank(String(block.content ?? ''));
    if (block.is_error === true && isEmpty)
      refuse(`${place}.tool_result`, 'content cannot be empty if `is_error` is true');
  },
};

function requireFields(block: WireBlock, place: string, known: string[]): void {
  const unknown = Object.keys(block).find((key) => !['type', 'cache_control', ...known].includes(key));
  if (unknown !== undefined) refuse(`${place}.${block.type}.${unknown}`, 'Extra inputs are not permitted');
}

function requireText(block: Record<string, unknown>, place: string): void {
  if (typeof block.text !== 'string') refuse(`${place}.text`, 'Input should be a valid string');
  if (block.text === '') refuse('messages', 'text content blocks must be non-empty');
  if (isBlank(block.text)) refuse('messages', 'text content blocks must contain non-whitespace text');
}
