// Makes a session, with its first message if it has one, and starts its workflow.
import type { Kysely } from 'kysely';
import type { CreateSession, Session } from '../../contracts/sessions.ts';
import type { SessionLog } from '../../stores/log.ts';
import type { Tables } from '../../stores/schema.ts';
import { indexMetadata } from '../../stores/sessions.ts';
import { isDuplicate } from '../../stores/store.ts';
import type { SessionView } from '../../views/sessions.ts';
import type { Engine } from '../engine.ts';
import { remember, replayOf } from '../idempotency.ts';
import { type AcceptDeps, acceptMessage } from '../messages/acceptance.ts';
import type { NewTurn } from '../messages/new-rows.ts';
import type { Caller, Idempotency } from '../ports.ts';
import type { Signals } from '../signals.ts';
import { checkMaxTokens, checkModel } from '../turn-options.ts';
import { newRow } from './new-row.ts';
import type { ShowSession } from './read.ts';

/** The request was made before; its transaction is undone and the first answer is read. */
class Replay extends Error {
  readonly sessionId: string;
  constructor(sessionId: string) {
    super('replay');
    this.sessionId = sessionId;
  }
}

const firstTurn = (message: CreateSession['message']): NewTurn | undefined =>
  typeof message === 'string' || Array.isArray(message) ? { content: message } : message;

export interface CreateDeps extends AcceptDeps {
  db: Kysely<Tables>;
  log: SessionLog;
  sessionView: SessionView;
  show: ShowSession;
  engine: Engine;
  signals: Signals;
  now: () => number;
}

export function createCreate(deps: CreateDeps) {
  const { db, log, sessionView, show, engine, signals, catalogue, now } = deps;

  const store = (caller: Caller, body: CreateSession, idempotency: Idempotency | null) =>
    log.create(newRow(caller.accountId, body, now()), async (tx) => {
      const first = await replayOf(tx.rows, caller, idempotency, tx.now);
      if (first) throw new Replay(first);
      await indexMetadata(tx.rows, tx.session.id, body.metadata ?? {});
      await remember(tx, caller, idempotency, tx.session.id);
      tx.append('session.created', null, { session: sessionView(tx.session) });
      const turn = firstTurn(body.message);
      const accepted = turn && (await acceptMessage(tx, turn, deps));
      return { session: tx.session, accepted };
    });

  /** @returns the session's id, when its workflow has been told, and whether an earlier request made it. */
  async function createOnce(caller: Caller, body: CreateSession, idempotency: Idempotency | null) {
    const before = await replayOf(db, caller, idempotency, now());
    if (before) return { id: before, replayed: true };
    engine.requireAvailable();
    try {
      const { session, accepted } = await store(caller, body, idempotency);
      if (accepted) signals.messageLater(session, accepted.signal);
      else signals.startLater(session);
      return { id: session.id, replayed: false };
    } catch (error) {
      if (error instanceof Replay) return { id: error.sessionId, replayed: true };
      // On PostgreSQL the same key may be kept by two processes at once; the one that loses reads the other's.
      const first = isDuplicate(error) && (await replayOf(db, caller, idempotency, now()));
      if (first) return { id: first, replayed: true };
      throw error;
    }
  }

  return async function create(
    caller: Caller,
    body: CreateSession,
    idempotency: Idempotency | null,
  ): Promise<{ session: Session; replayed: boolean }> {
    checkModel(catalogue, body.model);
    checkMaxTokens(catalogue, body.model, body.max_tokens);
    const { id, replayed } = await createOnce(caller, body, idempotency);
    return { session: await show(caller, id), replayed };
  };
}
