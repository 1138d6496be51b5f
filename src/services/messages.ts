// Messages: accepted once, answered by one reply, read at any time.
import type { Kysely } from 'kysely';
import { notFound } from '../contracts/errors.ts';
import { FINAL_EVENTS } from '../contracts/events.ts';
import { isTerminal, type Message } from '../contracts/messages.ts';
import { createBell, type EventFeed } from '../events/event-feed.ts';
import type { LiveChannel } from '../events/live-channel.ts';
import { type SessionLog, streamedText } from '../stores/log.ts';
import { createMessageRows } from '../stores/message-rows.ts';
import type { MessageRow, SessionRow, Tables } from '../stores/schema.ts';
import type { SessionsStore } from '../stores/sessions.ts';
import { messageView, partialView } from '../views/messages.ts';
import { type AcceptDeps, acceptMessage } from './accept-message.ts';
import type { Engine } from './engine.ts';
import { remember, replayOf } from './idempotency.ts';
import type { AcceptedMessage, Caller, MessagesService, PageRequest, Position, Slice } from './ports.ts';
import type { Signals } from './signals.ts';

/** Another process may end a reply without this one's channel hearing of it, so rows are looked at this often anyway. */
const POLL_INTERVAL_MS = 1_000;

export interface MessagesDeps extends AcceptDeps {
  db: Kysely<Tables>;
  log: SessionLog;
  sessions: SessionsStore;
  channel: LiveChannel;
  feed: EventFeed;
  engine: Engine;
  signals: Signals;
  syncWaitMs: number;
  now: () => number;
}

/** Turns in the order of acceptance, the question before its answer. */
const positionOf = (row: MessageRow): [number, number] => [row.position ?? 0, row.role === 'user' ? 0 : 1];

const compare = (a: [number, number], b: [number, number]): number => a[0] - b[0] || a[1] - b[1];

export type MessageReader = ReturnType<typeof createMessageReader>;

/** Reads of messages that sessions and messages share. */
export function createMessageReader(db: Kysely<Tables>) {
  const rows = createMessageRows(db);

  const view = async (row: MessageRow): Promise<Message> =>
    row.status === 'in_progress' ? partialView(row, await streamedText(db, row.id)) : messageView(row);

  /** The live branch, oldest first, then the user messages that never joined it. */
  async function conversation(session: SessionRow, limit?: number): Promise<MessageRow[]> {
    const branch = await rows.branch(session.head, limit);
    return [...branch.reverse(), ...(await rows.unattached(session.id))];
  }

  return { get: rows.get, userOf: rows.userOf, queued: rows.queued, view, conversation };
}

export function createMessages(deps: MessagesDeps): MessagesService & {
  settle(reply: ReplyRef, signal: AbortSignal): Promise<{ message: Message; settled: boolean }>;
} {
  const { db, log, sessions, channel, feed, engine, signals, now } = deps;
  const reader = createMessageReader(db);

  async function visible(caller: Caller, sessionId: string): Promise<SessionRow> {
    const session = await sessions.get(caller.accountId, sessionId);
    if (!session) throw notFound('session');
    return session;
  }

  async function replayed(sessionId: string, userMessageId: string): Promise<AcceptedMessage> {
    const user = await reader.get(userMessageId);
    if (!user?.reply_id) throw notFound('message');
    return { sessionId, userMessageId, replyId: user.reply_id, replayed: true, afterSeq: 0 };
  }

  async function accept(...[caller, sessionId, body, idempotency]: Parameters<MessagesService['accept']>) {
    await visible(caller, sessionId);
    const before = await replayOf(db, caller, idempotency, now());
    if (before) return replayed(sessionId, before);
    engine.requireAvailable();
    const done = await log.write(sessionId, async (tx) => {
      if (tx.session.ended_reason === 'deleted') throw notFound('session');
      const first = await replayOf(tx.rows, caller, idempotency, tx.now);
      if (first) return { first };
      const accepted = await acceptMessage(tx, body, deps);
      await remember(tx, caller, idempotency, accepted.user.id);
      return { accepted, session: tx.session };
    });
    if (!done) throw notFound('session');
    if (done.first !== undefined) return replayed(sessionId, done.first);
    const { accepted, session } = done;
    signals.messageLater(session, accepted.signal);
    const ids = { sessionId, userMessageId: accepted.user.id, replyId: accepted.replyId };
    return { ...ids, replayed: false, afterSeq: accepted.seq };
  }

  /** Waits for the reply's end, at most the configured time. @throws 404 when its session is deleted meanwhile. */
  async function settle({ sessionId, replyId }: ReplyRef, signal: AbortSignal) {
    const bell = createBell(signal);
    const unsubscribe = channel.subscribe(sessionId, bell.ring);
    const deadline = Date.now() + deps.syncWaitMs;
    try {
      for (;;) {
        const heard = bell.listen();
        const row = await reader.get(replyId);
        if (!row) throw notFound('message');
        const settled = isTerminal(row.status);
        const leftMs = deadline - Date.now();
        if (settled || leftMs <= 0 || signal.aborted) return { message: await reader.view(row), settled };
        await heard(Math.min(leftMs, POLL_INTERVAL_MS));
      }
    } finally {
      unsubscribe();
      bell.stop();
    }
  }

  async function* followReply({ sessionId, replyId, afterSeq }: AcceptedMessage, signal: AbortSignal) {
    const isOver = async () => {
      const row = await reader.get(replyId);
      return !row || isTerminal(row.status);
    };
    for await (const event of feed.follow({
      sessionId,
      after: afterSeq,
      messageId: replyId,
      signal,
      isOver,
    })) {
      yield event;
      if (FINAL_EVENTS.includes(event.type)) return;
    }
  }

  async function list(caller: Caller, sessionId: string, page: PageRequest): Promise<Slice<Message>> {
    const rows = await reader.conversation(await visible(caller, sessionId));
    if (page.order === 'desc') rows.reverse();
    const sign = page.order === 'desc' ? -1 : 1;
    const after = page.after as [number, number] | null;
    const rest = after ? rows.filter((row) => sign * compare(positionOf(row), after) > 0) : rows;
    const shown = rest.slice(0, page.limit);
    const last = shown.at(-1);
    const next: Position | null = rest.length > shown.length && last ? positionOf(last) : null;
    return { data: await Promise.all(shown.map(reader.view)), next };
  }

  async function get(caller: Caller, sessionId: string, messageId: string): Promise<Message> {
    const session = await visible(caller, sessionId);
    const row = await reader.get(messageId);
    if (!row || row.session_id !== session.id) throw notFound('message');
    return reader.view(row);
  }

  return { accept, waitForReply: settle, settle, followReply, list, get };
}

export interface ReplyRef {
  sessionId: string;
  replyId: string;
}
