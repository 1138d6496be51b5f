// Creates a session, with its first message if given, and starts its workflow.
import { ApiError } from '../../contracts/errors.ts';
import type { CreateSession, Session } from '../../contracts/sessions.ts';
import { newId } from '../../ids.ts';
import type { SessionLog } from '../../stores/log.ts';
import { indexMetadata } from '../../stores/sessions.ts';
import type { SchemaChecker } from '../../tools/json-schema/checker.ts';
import type { SessionView } from '../../views/sessions.ts';
import type { Engine } from '../engine.ts';
import type { Keep, Once, Resource } from '../idempotency.ts';
import { type AcceptDeps, acceptMessage } from '../messages/acceptance.ts';
import type { NewTurn } from '../messages/new-rows.ts';
import type { Caller, Idempotency, Written } from '../ports.ts';
import { checkTools, type ToolDefinition } from '../tools/definitions.ts';
import { checkMaxTokens, checkModel, checkThinking } from '../turn-options.ts';
import { newRow } from './new-row.ts';
import type { ShowSession } from './read.ts';

function firstTurn({ message }: CreateSession): NewTurn | undefined {
  if (message === undefined) return undefined;
  const fields = typeof message === 'string' || Array.isArray(message) ? { content: message } : message;
  return { ...fields, id: newId('msg') };
}

export interface CreateDeps extends AcceptDeps {
  log: SessionLog;
  checker: SchemaChecker;
  sessionView: SessionView;
  show: ShowSession;
  engine: Pick<Engine, 'requireAvailable'>;
  once: Once;
  now: () => number;
}

interface Checked {
  body: CreateSession;
  tools: ToolDefinition[];
}

export function createCreate(deps: CreateDeps) {
  const { log, sessionView, show, engine, once, catalogue, checker, now } = deps;

  const store = (caller: Caller, { body, tools }: Checked, keep: Keep<Resource>) =>
    log.create(newRow(caller.accountId, { ...body, tools }, now()), async (tx) => {
      await keep(tx.rows, { id: tx.session.id });
      await indexMetadata(tx.rows, tx.session, body.metadata ?? {});
      tx.append('session.created', null, { session: sessionView(tx.session) });
      const turn = firstTurn(body);
      if (turn) await acceptMessage(tx, turn, deps);
      return tx.session.id;
    });

  async function make(caller: Caller, checked: Checked, keep: Keep<Resource>): Promise<Session> {
    engine.requireAvailable();
    return show(caller, await store(caller, checked, keep));
  }

  /** A key creates one session. If the session was deleted since, a retry gets an error and creates no other session. */
  const again = (caller: Caller, id: string): Promise<Session> =>
    show(caller, id).catch((error: unknown) => {
      if (!(error instanceof ApiError) || error.code !== 'not_found') throw error;
      throw new ApiError('not_found', 'The session that this Idempotency-Key has made was deleted');
    });

  return async function create(
    caller: Caller,
    body: CreateSession,
    idempotency: Idempotency | null,
  ): Promise<Written<Session>> {
    checkModel(catalogue, body.model);
    checkMaxTokens(catalogue, body.model, body.max_tokens);
    checkThinking(catalogue, body.model, body, body);
    const tools = await checkTools(body.tools ?? [], checker);
    return once(
      caller,
      idempotency,
      (keep: Keep<Resource>) => make(caller, { body, tools }, keep),
      ({ id }) => again(caller, id),
    );
  };
}
