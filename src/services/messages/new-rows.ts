// The rows of an accepted message: the user message and its reply.
import { stringifyJson } from '../../contracts/json.ts';
import type { CreateMessage, InputBlock, MessageContent } from '../../contracts/messages.ts';
import { newId } from '../../ids.ts';
import type { SessionTransaction } from '../../stores/log.ts';
import { type MessageRow, NO_USAGE } from '../../stores/schema.ts';
import { turnOptionsOf } from '../turn-options.ts';

/** A message with the id chosen by the caller, and its own turn options. */
export type NewTurn = Pick<
  CreateMessage,
  'content' | 'on_busy' | 'max_tokens' | 'temperature' | 'thinking'
> & {
  id: string;
};

const blocksOf = (content: MessageContent): InputBlock[] =>
  typeof content === 'string' ? [{ type: 'text', text: content }] : content;

const textOf = (blocks: InputBlock[]): string =>
  blocks
    .filter((block) => block.type === 'text')
    .map((block) => block.text)
    .join('\n\n');

/** Both rows join the tree when their turn begins. */
const queued = ({ session, now }: SessionTransaction) => ({
  session_id: session.id,
  account_id: session.account_id,
  status: 'queued' as const,
  parent_id: null,
  depth: null,
  position: session.next_position,
  model: null,
  stop_reason: null,
  error: null,
  copy_of: null,
  interrupts_reply_id: null,
  steers_reply_id: null,
  created_at: now,
  completed_at: null,
  ...NO_USAGE,
});

/** The replies that a message refers to through `on_busy`. */
export type NamedReplies = Pick<MessageRow, 'interrupts_reply_id' | 'steers_reply_id'>;

export function newRows(
  tx: SessionTransaction,
  turn: NewTurn,
  named: NamedReplies,
): { user: MessageRow; reply: MessageRow } {
  const blocks = blocksOf(turn.content);
  const reply: MessageRow = {
    ...queued(tx),
    id: newId('msg'),
    role: 'assistant',
    reply_id: null,
    text: '',
    blocks: '[]',
    turn_options: '{}',
  };
  const user: MessageRow = {
    ...queued(tx),
    id: turn.id,
    role: 'user',
    reply_id: reply.id,
    text: textOf(blocks),
    blocks: stringifyJson(blocks),
    turn_options: JSON.stringify(turnOptionsOf(turn)),
    ...named,
  };
  return { user, reply };
}
