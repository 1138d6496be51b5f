// Accepts a message once. A repeated request finds the message of the first.
import { notFound } from '../../contracts/errors.ts';
import type { CreateMessage } from '../../contracts/messages.ts';
import { newId } from '../../ids.ts';
import type { Keep, Once, Resource } from '../idempotency.ts';
import type { AcceptedMessage, Caller, Idempotency, Written } from '../ports.ts';
import { type ChangeDeps, changeSession, visibleSession } from '../session-access.ts';
import { type AcceptDeps, acceptMessage } from './acceptance.ts';
import type { MessageReader } from './reader.ts';

export interface AcceptCallDeps extends AcceptDeps, ChangeDeps {
  reader: MessageReader;
  once: Once;
}

export function createAccept(deps: AcceptCallDeps) {
  const { sessions, reader, once } = deps;

  async function store(
    caller: Caller,
    sessionId: string,
    body: CreateMessage,
    keep: Keep<Resource>,
  ): Promise<AcceptedMessage> {
    const id = newId('msg');
    const accepted = await changeSession(deps, caller, sessionId, async (tx, isBare) => {
      await keep(tx.rows, { id });
      return acceptMessage(tx, { ...body, id }, { ...deps, isBare });
    });
    return { sessionId, userMessageId: id, replyId: accepted.replyId, afterSeq: accepted.seq };
  }

  /** A replay reads every event of the reply from the start. */
  async function again(caller: Caller, sessionId: string, userMessageId: string): Promise<AcceptedMessage> {
    await visibleSession(sessions, caller, sessionId);
    const user = await reader.get(userMessageId);
    if (!user?.reply_id) throw notFound('message');
    return { sessionId, userMessageId, replyId: user.reply_id, afterSeq: 0 };
  }

  return (
    caller: Caller,
    sessionId: string,
    body: CreateMessage,
    idempotency: Idempotency | null,
  ): Promise<Written<AcceptedMessage>> =>
    once(
      caller,
      idempotency,
      (keep: Keep<Resource>) => store(caller, sessionId, body, keep),
      ({ id }) => again(caller, sessionId, id),
    );
}
