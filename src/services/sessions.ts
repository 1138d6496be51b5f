// Sessions: created with their workflow, changed for the next turn, ended once.
import type { Kysely } from 'kysely';
import { METADATA_KEYS_MAX } from '../contracts/common.ts';
import { ApiError, notFound } from '../contracts/errors.ts';
import type {
  CreateSession,
  Interrupted,
  Session,
  SessionState,
  UpdateSession,
} from '../contracts/sessions.ts';
import { newId } from '../ids.ts';
import type { SessionLog, SessionTransaction } from '../stores/log.ts';
import { NO_LEASE, NO_USAGE, type SessionRow, type Tables } from '../stores/schema.ts';
import { indexMetadata, removeContents, type SessionsStore } from '../stores/sessions.ts';
import { idleDeadline } from '../turns/attach.ts';
import type { Turns } from '../turns/index.ts';
import type { SessionView, TurnOptions } from '../views/sessions.ts';
import {
  type AcceptDeps,
  type Accepted,
  acceptMessage,
  checkMaxTokens,
  type NewTurn,
  turnOptionsOf,
} from './accept-message.ts';
import type { Engine } from './engine.ts';
import { remember, replayOf } from './idempotency.ts';
import type { createMessages, MessageReader } from './messages.ts';
import type { Caller, Idempotency, SessionsService } from './ports.ts';
import { createStateReader } from './session-state.ts';
import { engineSession, type Signals } from './signals.ts';

/** Messages that a session shows of itself; the list of messages has them all. */
const MESSAGES_SHOWN = 100;

export interface SessionsDeps extends AcceptDeps {
  db: Kysely<Tables>;
  log: SessionLog;
  sessions: SessionsStore;
  reader: MessageReader;
  messages: ReturnType<typeof createMessages>;
  turns: Turns;
  sessionView: SessionView;
  engine: Engine;
  signals: Signals;
  now: () => number;
}

/** The request was made before; its transaction is undone and the first answer is read. */
class Replay extends Error {
  readonly sessionId: string;
  constructor(sessionId: string) {
    super('replay');
    this.sessionId = sessionId;
  }
}

const firstTurn = (message: CreateSession['message']): NewTurn | undefined => {
  if (message === undefined) return undefined;
  return typeof message === 'string' || Array.isArray(message) ? { content: message } : message;
};

/** Null deletes a key, anything else sets it. */
export function mergeMetadata(
  current: Record<string, string>,
  patch: Record<string, string | null>,
): Record<string, string> {
  const merged = Object.entries({ ...current, ...patch }).filter(([, value]) => value !== null);
  if (merged.length > METADATA_KEYS_MAX)
    throw new ApiError('invalid_request', `'metadata' must have at most ${METADATA_KEYS_MAX} keys`, {
      param: 'metadata',
    });
  return Object.fromEntries(merged) as Record<string, string>;
}

export function createSessions(deps: SessionsDeps): SessionsService {
  const { db, log, sessions, reader, messages, turns, sessionView, engine, signals, catalogue, now } = deps;
  const readState = createStateReader({ engine, reader });

  function checkModel(model: string): void {
    if (catalogue.find(model)) return;
    const known = catalogue.names().join(', ');
    throw new ApiError('invalid_request', `Unknown model '${model}'. Known models: ${known}`, {
      param: 'model',
    });
  }

  async function visible(caller: Caller, id: string): Promise<SessionRow> {
    const row = await sessions.get(caller.accountId, id);
    if (!row) throw notFound('session');
    return row;
  }

  async function view(row: SessionRow): Promise<Session> {
    const rows = await reader.conversation(row, MESSAGES_SHOWN);
    const shown = await Promise.all(rows.slice(-MESSAGES_SHOWN).map(reader.view));
    return { ...sessionView(row), system_prompt: row.system_prompt, messages: shown };
  }

  const viewOf = async (caller: Caller, id: string) => view(await visible(caller, id));

  function newRow(caller: Caller, body: CreateSession): SessionRow {
    const at = now();
    return {
      id: newId('sess'),
      account_id: caller.accountId,
      parent_session_id: null,
      model: body.model,
      system_prompt: body.system_prompt ?? null,
      tools: JSON.stringify(body.tools ?? []),
      metadata: JSON.stringify(body.metadata ?? {}),
      turn_options: JSON.stringify(turnOptionsOf(body)),
      on_busy: body.on_busy ?? 'queue',
      status: 'active',
      ended_reason: null,
      ended_at: null,
      expires_after_seconds: body.expires_after_seconds ?? null,
      expires_at: idleDeadline(body.expires_after_seconds ?? null, at),
      created_at: at,
      updated_at: at,
      seq: 0,
      fence: 0,
      head: null,
      open_reply_id: null,
      next_position: 1,
      message_count: 0,
      deleted_at: null,
      end_signalled_at: null,
      check_at: 0,
      ...NO_LEASE,
      ...NO_USAGE,
    };
  }

  function store(caller: Caller, body: CreateSession, idempotency: Idempotency | null) {
    return log.create(newRow(caller, body), async (tx) => {
      const first = await replayOf(tx.rows, caller, idempotency, tx.now);
      if (first) throw new Replay(first);
      await indexMetadata(tx.rows, tx.session.id, body.metadata ?? {});
      await remember(tx, caller, idempotency, tx.session.id);
      tx.append('session.created', null, { session: sessionView(tx.session) });
      const turn = firstTurn(body.message);
      const accepted: Accepted | undefined = turn && (await acceptMessage(tx, turn, deps));
      return { session: tx.session, accepted };
    });
  }

  async function create(caller: Caller, body: CreateSession, idempotency: Idempotency | null) {
    checkModel(body.model);
    checkMaxTokens(catalogue, body.model, body.max_tokens);
    const before = await replayOf(db, caller, idempotency, now());
    if (before) return { session: await viewOf(caller, before), replayed: true };
    engine.requireAvailable();
    try {
      const { session, accepted } = await store(caller, body, idempotency);
      if (accepted) signals.messageLater(session, accepted.signal);
      else signals.startLater(session);
      return { session: await viewOf(caller, session.id), replayed: false };
    } catch (error) {
      if (error instanceof Replay) return { session: await viewOf(caller, error.sessionId), replayed: true };
      throw error;
    }
  }

  /** Runs a change of the caller's session in its transaction. */
  async function change<T>(
    caller: Caller,
    id: string,
    work: (tx: SessionTransaction) => Promise<T>,
  ): Promise<T> {
    await visible(caller, id);
    engine.requireAvailable();
    const done = await log.write(id, async (tx) => {
      if (tx.session.ended_reason === 'deleted') throw notFound('session');
      return { value: await work(tx) };
    });
    if (!done) throw notFound('session');
    return done.value;
  }

  async function applyPatch(tx: SessionTransaction, body: UpdateSession): Promise<void> {
    const { metadata, model, system_prompt, tools, on_busy, expires_after_seconds } = body;
    if (metadata !== undefined) {
      const merged = mergeMetadata(JSON.parse(tx.session.metadata), metadata);
      await indexMetadata(tx.rows, tx.session.id, merged);
      tx.patch({ metadata: JSON.stringify(merged) });
    }
    const options: TurnOptions = { ...JSON.parse(tx.session.turn_options) };
    for (const name of ['max_tokens', 'temperature', 'thinking'] as const)
      if (body[name] !== undefined) Object.assign(options, { [name]: body[name] });
    checkMaxTokens(catalogue, model ?? tx.session.model, options.max_tokens);
    tx.patch({ turn_options: JSON.stringify(turnOptionsOf(options)) });
    if (model !== undefined) tx.patch({ model });
    if (system_prompt !== undefined) tx.patch({ system_prompt });
    if (tools !== undefined) tx.patch({ tools: JSON.stringify(tools) });
    if (on_busy !== undefined) tx.patch({ on_busy });
    if (expires_after_seconds !== undefined) {
      const idle = tx.session.open_reply_id === null && tx.session.status === 'active';
      const expires_at = idle ? idleDeadline(expires_after_seconds, tx.now) : null;
      tx.patch({ expires_after_seconds, expires_at });
    }
  }

  async function update(caller: Caller, id: string, body: UpdateSession): Promise<Session> {
    if (body.model !== undefined) checkModel(body.model);
    const fields = Object.keys(body);
    if (fields.length === 0) return viewOf(caller, id);
    const session = await change(caller, id, async (tx) => {
      if (tx.session.status !== 'active' && fields.some((field) => field !== 'metadata'))
        throw new ApiError('session_ended', "The session has ended; only its 'metadata' can still change");
      await applyPatch(tx, body);
      tx.patch({ updated_at: tx.now });
      tx.append('session.updated', null, { session: sessionView(tx.session) });
      return tx.session;
    });
    const { model, expires_at, status } = session;
    if (status === 'active') signals.configureLater(session, { model, expiresAtMs: expires_at });
    return viewOf(caller, id);
  }

  async function end(caller: Caller, id: string, reason: 'completed' | 'archived'): Promise<Session> {
    const ended = await change(caller, id, async (tx) => {
      if (tx.session.status === 'active') {
        await turns.endSession(tx, { reason });
        return tx.session;
      }
      if (reason === 'archived' && tx.session.status === 'completed') {
        tx.patch({ status: 'archived', updated_at: tx.now });
        tx.append('session.updated', null, { session: sessionView(tx.session) });
      }
      return undefined;
    });
    if (ended) signals.endLater(ended, reason);
    return viewOf(caller, id);
  }

  async function remove(caller: Caller, id: string): Promise<void> {
    const session = await change(caller, id, async (tx) => {
      if (tx.session.status === 'active') await turns.endSession(tx, { reason: 'deleted' });
      else tx.patch({ ended_reason: 'deleted' });
      return tx.session;
    });
    // Whoever still follows the session reads its last events before they are gone.
    await new Promise((resolve) => setImmediate(resolve));
    await purge(log, id);
    signals.endLater(session, 'deleted');
  }

  async function interrupt(caller: Caller, id: string): Promise<Interrupted> {
    const session = await visible(caller, id);
    if (session.status !== 'active') throw new ApiError('session_ended', 'The session has ended');
    engine.requireAvailable();
    const replyId = session.open_reply_id ?? (await reader.queued(id))[0]?.reply_id;
    if (!replyId) return { interrupted: true, message: null };
    await engine.interrupt(engineSession(session), { replyId });
    const never = new AbortController().signal;
    const { message } = await messages.settle({ sessionId: id, replyId }, never);
    return { interrupted: true, message };
  }

  async function get(
    caller: Caller,
    id: string,
    { includeState }: { includeState: boolean },
  ): Promise<Session> {
    const row = await visible(caller, id);
    const session = await view(row);
    return includeState ? { ...session, state: await readState(row) } : session;
  }

  async function state(caller: Caller, id: string): Promise<SessionState> {
    return readState(await visible(caller, id));
  }

  async function list(...[caller, filter, page]: Parameters<SessionsService['list']>) {
    const [createdAt, id] = (page.after ?? []) as [number, string];
    const after = page.after ? { createdAt, id } : null;
    const query = { accountId: caller.accountId, ...filter, order: page.order, after, limit: page.limit + 1 };
    const rows = await sessions.list(query);
    const shown = rows.slice(0, page.limit);
    const last = shown.at(-1);
    const next = rows.length > shown.length && last ? [last.created_at, last.id] : null;
    return { data: shown.map(sessionView), next };
  }

  return {
    create,
    list,
    get,
    update,
    delete: remove,
    complete: (caller, id) => end(caller, id, 'completed'),
    archive: (caller, id) => end(caller, id, 'archived'),
    interrupt,
    state,
  };
}

/** Removes what an ended session holds; its row stays, so that late writers and signals meet it as gone. */
export async function purge(log: SessionLog, sessionId: string): Promise<void> {
  await log.write(sessionId, async (tx) => {
    await removeContents(tx.rows, sessionId);
    tx.patch({
      deleted_at: tx.now,
      system_prompt: null,
      metadata: '{}',
      tools: '[]',
      turn_options: '{}',
      head: null,
      open_reply_id: null,
    });
  });
}
