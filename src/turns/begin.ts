// Opens a model step: decides from the rows how to serve the workflow's request, and takes the fence.

import { messageError } from '../contracts/errors.ts';
import { isTerminal } from '../contracts/messages.ts';
import { newId } from '../ids.ts';
import type { Catalogue } from '../models/catalogue.ts';
import { type SessionLog, type SessionTransaction, stepHasStarted, stepHasStreamed } from '../stores/log.ts';
import {
  addUsage,
  type LeaseColumns,
  type MessageRow,
  NO_LEASE,
  NO_USAGE,
  type SessionRow,
  type ToolCallRow,
} from '../stores/schema.ts';
import { messageView } from '../views/messages.ts';
import { attach } from './attach.ts';
import { chargeOpenCall } from './charge.ts';
import { closeForgotten, closeReply, storably } from './close.ts';
import { closeSteered } from './current.ts';
import { asItsTurnSees } from './settings.ts';
import { placeOf } from './unheard.ts';

export interface BeginInput {
  sessionId: string;
  /** The workflow's head: the message that the turn follows. */
  head: string | null;
  messageId: string;
  step: number;
  /** True if a turn may begin off the end of the live branch, because the requesting run is known to be open. */
  mayBranch?: boolean;
  /** The attempt that writes. Another worker may end the attempt when this worker is gone. */
  attempt?: Attempt;
}

export interface Attempt {
  worker: string;
  runId: string;
  activityId: string;
  attempt: number;
}

export type Begun =
  | { kind: 'open'; session: SessionRow; user: MessageRow; reply: MessageRow; step: number; fence: number }
  /** The step is complete, or the previous step still waits. `open` lists the calls without a result, perhaps none. */
  | { kind: 'tools'; session: SessionRow; reply: MessageRow; step: number; open: ToolCallRow[] }
  | { kind: 'settled'; session: SessionRow; user: MessageRow; reply: MessageRow; head: string | null }
  /** Another message has its turn now. With `again`, the requested message gets its own turn afterwards. */
  | { kind: 'instead'; user: MessageRow; again: boolean }
  /**
   * The branch continues beyond the requested head. A run that Temporal reset may branch off there. A late activity of
   * a closed run must not.
   */
  | { kind: 'behind' }
  | { kind: 'gone' };

/** `isBare` is set after the store refused the text of a reply that ends here. */
type Wish = BeginInput & { isBare: boolean };

interface Turn {
  user: MessageRow;
  reply: MessageRow;
}

/** Copies the message to a new place in the tree. The rows on the other head stay untouched. */
async function insertCopy(tx: SessionTransaction, { user, reply }: Turn): Promise<MessageRow> {
  const ids = { user: newId('msg'), reply: newId('msg') };
  const unattached = { depth: null, parent_id: null, status: 'queued', completed_at: null } as const;
  const named = { interrupts_reply_id: null, steers_reply_id: null } as const;
  const fresh = { ...unattached, ...named, created_at: tx.now };
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
  tx.patch({ message_count: tx.session.message_count + 1 });
  tx.append('message.created', userCopy.id, { message: messageView(userCopy) });
  return userCopy;
}

const leaseOf = (attempt: Attempt | undefined, now: number): LeaseColumns =>
  attempt
    ? {
        lease_worker: attempt.worker,
        lease_run_id: attempt.runId,
        lease_activity_id: attempt.activityId,
        lease_attempt: attempt.attempt,
        lease_renewed_at: now,
      }
    : NO_LEASE;

const isBehind = (tx: SessionTransaction, { head, mayBranch }: BeginInput): boolean =>
  tx.session.head !== head && mayBranch !== true;

/** Model calls per turn, far beyond useful work. The bound stops a model that calls tools forever. */
const STEPS_MAX = 1_000;

const TOO_MANY_STEPS = messageError(
  'tool_limit',
  `The model was called ${STEPS_MAX} times in this turn and still called tools`,
);

/** A lost or reset run may request a step that is complete or must wait. The rows are authoritative. */
async function unanswered(tx: SessionTransaction, { reply }: Turn, step: number): Promise<Begun | undefined> {
  const last = await tx.messages.lastStep(reply.id);
  if (last === 0) return undefined;
  const open = await tx.messages.openToolCalls(reply.id);
  if (last < step && open.length === 0) return undefined;
  return { kind: 'tools', session: tx.session, reply, step: last, open };
}

/** Announces each step once. Each further attempt first voids the text that the previous attempt streamed. */
async function announceStep(tx: SessionTransaction, replyId: string, step: number): Promise<void> {
  if (await stepHasStreamed(tx.rows, replyId, step)) tx.append('message.reset', replyId, { step });
  if (!(await stepHasStarted(tx.rows, replyId, step)))
    tx.append('message.content_started', replyId, { step });
}

function takeFence(tx: SessionTransaction, attempt: Attempt | undefined): number {
  const fence = tx.session.fence + 1;
  tx.patch({ fence, ...leaseOf(attempt, tx.now) });
  return fence;
}

export function createBegin({ log, catalogue }: { log: SessionLog; catalogue: Catalogue }) {
  /** Signals may be lost or late. The rows hold the order of acceptance. */
  async function openNew(tx: SessionTransaction, turn: Turn, input: Wish): Promise<Begun> {
    const first = await tx.messages.firstQueued(tx.session.id);
    // The first message gets a turn of its own, because a retry of this step must find the turn that the step began.
    if (first && first.id !== turn.user.id) return { kind: 'instead', user: first, again: true };
    if (isBehind(tx, input)) return { kind: 'behind' };
    await closeForgotten(tx, turn.reply.id, input.isBare);
    const fence = takeFence(tx, input.attempt);
    const reply = await attach(tx, catalogue, { ...turn, head: input.head });
    tx.append('message.content_started', reply.id, { step: input.step });
    return { kind: 'open', session: tx.session, user: turn.user, reply, step: input.step, fence };
  }

  /**
   * Opens the next step or another attempt of the same step, which voids the text of the previous attempt. A message
   * that steers the reply ends the reply here.
   */
  async function reopen(tx: SessionTransaction, turn: Turn, input: Wish): Promise<Begun> {
    const { step, isBare } = input;
    const asked = await unanswered(tx, turn, step);
    if (asked) return asked;
    const spent = await chargeOpenCall(tx, { outcome: 'superseded', errorCode: null });
    const reply = { ...turn.reply, ...addUsage(turn.reply, spent) };
    const steered = await closeSteered(tx, reply, step, isBare);
    if (steered) return { kind: 'settled', session: tx.session, ...turn, reply: steered, head: steered.id };
    if (spent !== NO_USAGE) await tx.messages.update(reply.id, addUsage(turn.reply, spent));
    const limited =
      step > STEPS_MAX && (await closeReply(tx, reply, { status: 'failed', error: TOO_MANY_STEPS, isBare }));
    if (limited) return { kind: 'settled', session: tx.session, ...turn, reply: limited, head: limited.id };
    const fence = takeFence(tx, input.attempt);
    await announceStep(tx, turn.reply.id, step);
    return { kind: 'open', session: asItsTurnSees(tx.session), ...turn, reply, step, fence };
  }

  /** Places the message on the head: finds the copy of an earlier attempt, or makes a new copy. */
  async function copyOnto(tx: SessionTransaction, turn: Turn, input: Wish): Promise<Begun> {
    if (isBehind(tx, input)) return { kind: 'behind' };
    const made = await tx.messages.copyOf(turn.user, input.head);
    if (made) return { kind: 'instead', user: made, again: false };
    // The reply was interrupted on request, so the message needs no reply on another branch either.
    if (turn.reply.status === 'interrupted')
      return { kind: 'settled', session: tx.session, ...turn, head: input.head };
    if (!isTerminal(turn.reply.status))
      await closeReply(tx, turn.reply, { status: 'interrupted', isBare: input.isBare });
    return { kind: 'instead', user: await insertCopy(tx, turn), again: false };
  }

  /** For a message attached before: its reply is complete, still open, or on another branch. */
  async function continueTurn(tx: SessionTransaction, turn: Turn, input: Wish): Promise<Begun> {
    const { session } = tx;
    const { user, reply } = turn;
    const isOver = isTerminal(reply.status);
    if (user.parent_id === input.head)
      return isOver ? { kind: 'settled', session, ...turn, head: reply.id } : reopen(tx, turn, input);
    // A duplicate signal for a turn that finished long ago. The conversation has continued after the turn.
    if (isOver && (await tx.messages.isOnBranch(user, input.head)))
      return { kind: 'settled', session, ...turn, head: input.head };
    return copyOnto(tx, turn, input);
  }

  async function decide(tx: SessionTransaction, input: Wish): Promise<Begun> {
    const { session } = tx;
    if (session.status !== 'active' || session.deleted_at !== null) return { kind: 'gone' };
    const user = await tx.messages.get(input.messageId);
    const reply = user?.reply_id == null ? undefined : await tx.messages.get(user.reply_id);
    if (!user || !reply) return { kind: 'gone' };
    const turn = { user, reply };
    const isNew = user.status === 'queued';
    const head = await placeOf(tx, isNew ? session.head : user.parent_id, input.head);
    return isNew ? openNew(tx, turn, { ...input, head }) : continueTurn(tx, turn, { ...input, head });
  }

  /**
   * One transaction. It attaches a queued message to the head, adopts a recorded reply, names the message that goes
   * first, or opens another attempt. The message that goes first has a lower position, or is a copy of a message
   * answered on another head. A holder of an older fence can no longer write.
   */
  return async function begin(input: BeginInput): Promise<Begun> {
    const begun = await storably((isBare) =>
      log.write(input.sessionId, (tx) => decide(tx, { ...input, isBare })),
    );
    return begun ?? { kind: 'gone' };
  };
}
