// The acceptance of a message: everything that is decided about it is decided here, from rows, in one transaction.
import type { MessageSignal } from '../../workflows/protocol.ts';
import { ApiError } from '../contracts/errors.ts';
import type { CreateMessage, InputBlock, MessageContent } from '../contracts/messages.ts';
import { newId } from '../ids.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { SessionTransaction } from '../stores/log.ts';
import { type MessageRow, NO_USAGE } from '../stores/schema.ts';
import { idleDeadline } from '../turns/attach.ts';
import { preview } from '../turns/snapshot.ts';
import { messageView } from '../views/messages.ts';
import type { TurnOptions } from '../views/sessions.ts';

/** Messages that may wait in one session; a client that sends more is told to slow down. */
export const QUEUE_MAX = 100;

/** The sweep asks after a new message once it has had this long to begin. */
const CHECK_AFTER_MS = 30_000;

/** What one turn sets for itself. */
export type NewTurn = Pick<CreateMessage, 'content' | 'on_busy' | 'max_tokens' | 'temperature' | 'thinking'>;

export interface Accepted {
  user: MessageRow;
  replyId: string;
  seq: number;
  signal: MessageSignal;
}

export interface AcceptDeps {
  catalogue: Catalogue;
  showPreviews: boolean;
}

const blocksOf = (content: MessageContent): InputBlock[] =>
  typeof content === 'string' ? [{ type: 'text', text: content }] : content;

const textOf = (blocks: InputBlock[]): string =>
  blocks
    .filter((block) => block.type === 'text')
    .map((block) => block.text)
    .join('\n\n');

export function turnOptionsOf({ max_tokens, temperature, thinking }: TurnOptions): TurnOptions {
  const given = Object.entries({ max_tokens, temperature, thinking }).filter(([, value]) => value != null);
  return Object.fromEntries(given);
}

/** @throws ApiError when the model can't write that much. */
export function checkMaxTokens(
  catalogue: Catalogue,
  model: string,
  maxTokens: number | null | undefined,
): void {
  const limit = catalogue.find(model)?.maxOutputTokens;
  if (maxTokens == null || limit === undefined || maxTokens <= limit) return;
  throw new ApiError('invalid_request', `'max_tokens' must be at most ${limit} for model '${model}'`, {
    param: 'max_tokens',
  });
}

async function checkQueue(tx: SessionTransaction, turn: NewTurn): Promise<void> {
  const queued = await tx.messages.countQueued(tx.session.id);
  const busy = tx.session.open_reply_id !== null || queued > 0;
  if (busy && (turn.on_busy ?? tx.session.on_busy) === 'reject')
    throw new ApiError('session_busy', 'The session is answering another message');
  if (queued >= QUEUE_MAX)
    throw new ApiError('queue_full', `${QUEUE_MAX} messages of this session are waiting already`, {
      retryAfterSeconds: 1,
    });
}

function rowsOf(tx: SessionTransaction, turn: NewTurn): { user: MessageRow; reply: MessageRow } {
  const blocks = blocksOf(turn.content);
  const common = {
    session_id: tx.session.id,
    account_id: tx.session.account_id,
    status: 'queued' as const,
    parent_id: null,
    depth: null,
    position: tx.session.next_position,
    model: null,
    stop_reason: null,
    error: null,
    copy_of: null,
    created_at: tx.now,
    completed_at: null,
    signalled_at: null,
    ...NO_USAGE,
  };
  const replyId = newId('msg');
  const given = { text: textOf(blocks), blocks: JSON.stringify(blocks) };
  const turn_options = JSON.stringify(turnOptionsOf(turn));
  return {
    user: { ...common, ...given, id: newId('msg'), role: 'user', reply_id: replyId, turn_options },
    reply: {
      ...common,
      id: replyId,
      role: 'assistant',
      reply_id: null,
      text: '',
      blocks: '[]',
      turn_options: '{}',
    },
  };
}

/** Stores the message and the reply that will answer it. @throws ApiError from the state of the session. */
export async function acceptMessage(
  tx: SessionTransaction,
  turn: NewTurn,
  deps: AcceptDeps,
): Promise<Accepted> {
  if (tx.session.status !== 'active')
    throw new ApiError('session_ended', 'The session has ended; create a new one');
  checkMaxTokens(deps.catalogue, tx.session.model, turn.max_tokens);
  await checkQueue(tx, turn);
  const { user, reply } = rowsOf(tx, turn);
  await tx.messages.insert(user, reply);
  const idle = tx.session.open_reply_id === null;
  tx.patch({
    next_position: tx.session.next_position + 1,
    message_count: tx.session.message_count + 1,
    // The sweep has no reason to doubt a message that is on its way.
    check_at: tx.now + CHECK_AFTER_MS,
    expires_at: idle ? idleDeadline(tx.session.expires_after_seconds, tx.now) : null,
  });
  tx.append('message.created', user.id, { message: messageView(user) });
  const signal: MessageSignal = {
    messageId: user.id,
    replyId: reply.id,
    position: user.position ?? 0,
    preview: deps.showPreviews ? preview(user.text) : '',
    expiresAtMs: tx.session.expires_at,
  };
  return { user, replyId: reply.id, seq: tx.seq, signal };
}
