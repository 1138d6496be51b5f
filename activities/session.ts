// Short transactions that the session workflow runs as local activities.
import { isTerminal } from '../src/contracts/messages.ts';
import type { SessionLog } from '../src/stores/log.ts';
import type { MessageRows } from '../src/stores/message-rows.ts';
import type { Closed } from '../src/turns/close.ts';
import type { Turns } from '../src/turns/index.ts';
import { pending, pendingCall } from '../src/turns/snapshot.ts';
import { placeOf } from '../src/turns/unheard.ts';
import type {
  ExpireCallsInput,
  ExpireInput,
  ExpireResult,
  FailReplyInput,
  FailToolCallInput,
  ModelStepResult,
  ReplyInput,
  SessionSnapshot,
} from '../workflows/protocol.ts';
import { settled } from './results.ts';

export interface SessionActivityDeps {
  turns: Turns;
  log: SessionLog;
  messages: MessageRows;
  /** True if deliveries of the session itself are pending. */
  hasPendingDeliveries: (sessionId: string) => Promise<boolean>;
  /** True if Temporal may store the beginnings of texts. */
  showPreviews: boolean;
}

/** For a session missing from the store: its workflow has nothing left to do. */
const GONE: SessionSnapshot = {
  account: '',
  model: '',
  ended: 'deleted',
  expiresAtMs: null,
  head: null,
  open: null,
  queue: [],
};

export function createSessionActivities({
  turns,
  log,
  messages,
  hasPendingDeliveries,
  showPreviews,
}: SessionActivityDeps) {
  async function result(
    { sessionId, head }: ReplyInput,
    closed: Closed | undefined,
  ): Promise<ModelStepResult> {
    if (!closed) return { kind: 'gone' };
    if (closed.kind === 'instead')
      return { kind: 'instead', message: pending(closed.user, showPreviews), again: true };
    const { reply } = closed;
    const found = await log.write(sessionId, async (tx) => {
      const parentId = (await tx.messages.userOf(reply.id))?.parent_id ?? null;
      return { session: tx.session, isNext: parentId === (await placeOf(tx, parentId, head)) };
    });
    if (!found) return { kind: 'gone' };
    // The branch doesn't continue from a reply that ended earlier in the branch or on another branch.
    return settled(found.session, reply, showPreviews, found.isNext ? reply.id : head);
  }

  return {
    async snapshot({ sessionId }: { sessionId: string }): Promise<SessionSnapshot> {
      return (await turns.snapshot(sessionId, showPreviews)) ?? GONE;
    },

    async interrupt(input: ReplyInput): Promise<ModelStepResult> {
      return result(input, await turns.interrupt(input));
    },

    async failReply(input: FailReplyInput): Promise<ModelStepResult> {
      return result(input, await turns.fail(input, input.reason));
    },

    async expireCalls(input: ExpireCallsInput): Promise<ModelStepResult> {
      const expired = await turns.expireCalls(input, input.nowMs);
      if (!expired) return { kind: 'gone' };
      if (isTerminal(expired.reply.status)) return result(input, { kind: 'closed', reply: expired.reply });
      const step = await messages.lastStep(input.replyId);
      return { kind: 'tools', step, calls: expired.open.map(pendingCall) };
    },

    async failToolCall({ reason, ...call }: FailToolCallInput): Promise<void> {
      const result = `The tool could not be run: ${reason}`;
      await turns.settleToolCall(call, { status: 'failed', result, isError: true });
    },

    async expire({ sessionId, nowMs }: ExpireInput): Promise<ExpireResult> {
      const session = await turns.expire(sessionId, nowMs);
      if (!session || session.deleted_at !== null) return { ended: 'deleted' };
      if (session.ended_reason !== null) {
        const isDue = await hasPendingDeliveries(sessionId);
        return { ended: session.ended_reason, ...(isDue ? { isDue } : {}) };
      }
      // A passed deadline with queued messages needs no other check, because the message's signal will arrive.
      const later = session.expires_at !== null && session.expires_at > nowMs;
      return { ended: null, expiresAtMs: later ? session.expires_at : null };
    },
  };
}
