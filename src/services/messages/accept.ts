// Takes a message in, once: a repeated request finds what its first try has made.
import type { Kysely } from 'kysely';
import { notFound } from '../../contracts/errors.ts';
import type { CreateMessage } from '../../contracts/messages.ts';
import type { SessionLog } from '../../stores/log.ts';
import type { Tables } from '../../stores/schema.ts';
import type { SessionsStore } from '../../stores/sessions.ts';
import type { Engine } from '../engine.ts';
import { remember, replayOf } from '../idempotency.ts';
import type { AcceptedMessage, Caller, Idempotency } from '../ports.ts';
import { visibleSession, writeSession } from '../session-access.ts';
import type { Signals } from '../signals.ts';
import { type AcceptDeps, acceptMessage } from './acceptance.ts';
import type { MessageReader } from './reader.ts';

export interface AcceptCallDeps extends AcceptDeps {
  db: Kysely<Tables>;
  log: SessionLog;
  sessions: SessionsStore;
  reader: MessageReader;
  engine: Engine;
  signals: Signals;
  now: () => number;
}

export function createAccept(deps: AcceptCallDeps) {
  const { db, log, sessions, reader, engine, signals, now } = deps;

  async function replayed(sessionId: string, userMessageId: string): Promise<AcceptedMessage> {
    const user = await reader.get(userMessageId);
    if (!user?.reply_id) throw notFound('message');
    return { sessionId, userMessageId, replyId: user.reply_id, replayed: true, afterSeq: 0 };
  }

  const store = (caller: Caller, sessionId: string, body: CreateMessage, idempotency: Idempotency | null) =>
    writeSession(log, sessionId, async (tx) => {
      const first = await replayOf(tx.rows, caller, idempotency, tx.now);
      if (first) return { first };
      const accepted = await acceptMessage(tx, body, deps);
      await remember(tx, caller, idempotency, accepted.user.id);
      return { accepted, session: tx.session };
    });

  return async function accept(
    caller: Caller,
    sessionId: string,
    body: CreateMessage,
    idempotency: Idempotency | null,
  ): Promise<AcceptedMessage> {
    await visibleSession(sessions, caller, sessionId);
    const before = await replayOf(db, caller, idempotency, now());
    if (before) return replayed(sessionId, before);
    engine.requireAvailable();
    const { first, accepted, session } = await store(caller, sessionId, body, idempotency);
    if (first !== undefined) return replayed(sessionId, first);
    signals.messageLater(session, accepted.signal);
    const ids = { sessionId, userMessageId: accepted.user.id, replyId: accepted.replyId };
    return { ...ids, replayed: false, afterSeq: accepted.seq };
  };
}
