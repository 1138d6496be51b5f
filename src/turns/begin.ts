// Opens a model step: decides from the rows what the workflow's wish means now, and takes the fence.

import { isTerminal } from '../contracts/messages.ts';
import { newId } from '../ids.ts';
import type { Catalogue } from '../models/catalogue.ts';
import { type SessionLog, type SessionTransaction, stepHasStreamed } from '../stores/log.ts';
import { type MessageRow, NO_USAGE, type SessionRow } from '../stores/schema.ts';
import { attach } from './attach.ts';
import { closeReply } from './close.ts';

export interface BeginInput {
  sessionId: string;
  /** The workflow's head: the message that the answer builds on. */
  head: string | null;
  messageId: string;
  step: number;
}

export type Begun =
  | { kind: 'open'; session: SessionRow; user: MessageRow; reply: MessageRow; step: number; fence: number }
  | { kind: 'settled'; session: SessionRow; user: MessageRow; reply: MessageRow }
  | { kind: 'gone' };

/** Same message, new place in the tree: what was written on the other head stays untouched. */
async function copyTurn(tx: SessionTransaction, user: MessageRow, reply: MessageRow) {
  const ids = { user: newId('msg'), reply: newId('msg') };
  const fresh = { depth: null, parent_id: null, status: 'queued', completed_at: null } as const;
  const userCopy: MessageRow = { ...user, ...fresh, id: ids.user, reply_id: ids.reply, copy_of: user.id };
  const replyCopy: MessageRow = {
    ...reply,
    ...fresh,
    ...NO_USAGE,
    id: ids.reply,
    copy_of: reply.id,
    text: '',
    blocks: '[]',
    stop_reason: null,
    error: null,
  };
  await tx.messages.insert(userCopy, replyCopy);
  return { user: userCopy, reply: replyCopy };
}

export function createBegin({ log, catalogue }: { log: SessionLog; catalogue: Catalogue }) {
  function takeFence(tx: SessionTransaction): number {
    const fence = tx.session.fence + 1;
    tx.patch({ fence });
    return fence;
  }

  async function openNew(
    tx: SessionTransaction,
    turn: { user: MessageRow; reply: MessageRow },
    input: BeginInput,
  ): Promise<Begun> {
    const fence = takeFence(tx);
    const reply = await attach(tx, catalogue, { ...turn, head: input.head });
    tx.append('message.content_started', reply.id, { step: input.step });
    return { kind: 'open', session: tx.session, user: turn.user, reply, step: input.step, fence };
  }

  /** Another try of the same step: what the last one had sent is void, and readers are told so. */
  async function reopen(
    tx: SessionTransaction,
    turn: { user: MessageRow; reply: MessageRow },
    step: number,
  ): Promise<Begun> {
    const fence = takeFence(tx);
    if (await stepHasStreamed(tx.rows, turn.reply.id, step))
      tx.append('message.reset', turn.reply.id, { step });
    return { kind: 'open', session: tx.session, ...turn, step, fence };
  }

  /** Signals may be lost or late; the order of acceptance is in the rows. */
  async function firstQueued(tx: SessionTransaction, asked: MessageRow): Promise<MessageRow> {
    const [lowest] = await tx.messages.queued(tx.session.id);
    return lowest ?? asked;
  }

  async function decide(tx: SessionTransaction, input: BeginInput): Promise<Begun> {
    if (tx.session.status !== 'active' || tx.session.deleted_at !== null) return { kind: 'gone' };
    const asked = await tx.messages.get(input.messageId);
    if (!asked) return { kind: 'gone' };
    const user = asked.status === 'queued' ? await firstQueued(tx, asked) : asked;
    const reply = user.reply_id === null ? undefined : await tx.messages.get(user.reply_id);
    if (!reply) return { kind: 'gone' };
    const turn = { user, reply };
    if (user.status === 'queued') return openNew(tx, turn, input);
    if (user.parent_id !== input.head) {
      if (!isTerminal(reply.status)) await closeReply(tx, reply, { status: 'interrupted' });
      return openNew(tx, await copyTurn(tx, user, reply), input);
    }
    if (isTerminal(reply.status)) return { kind: 'settled', session: tx.session, ...turn };
    return reopen(tx, turn, input.step);
  }

  /**
   * One transaction: attaches a queued message to the head, adopts a recorded reply, copies a message that was
   * answered on another head, or opens another try. Whoever holds an older fence can't write any more.
   */
  return async function begin(input: BeginInput): Promise<Begun> {
    return (await log.write(input.sessionId, (tx) => decide(tx, input))) ?? { kind: 'gone' };
  };
}
