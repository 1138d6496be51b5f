// Changes a session's settings for its next turn, and its metadata at any time.
import { ApiError } from '../../contracts/errors.ts';
import type { Session, UpdateSession } from '../../contracts/sessions.ts';
import type { Catalogue } from '../../models/catalogue.ts';
import type { SessionTransaction } from '../../stores/log.ts';
import type { SessionRow } from '../../stores/schema.ts';
import { indexMetadata } from '../../stores/sessions.ts';
import type { SchemaChecker } from '../../tools/json-schema/checker.ts';
import { holdSettings } from '../../turns/settings.ts';
import type { SessionView, TurnOptions } from '../../views/sessions.ts';
import type { Keep, Once } from '../idempotency.ts';
import type { Caller, Idempotency, Written } from '../ports.ts';
import { type ChangeDeps, changeSession } from '../session-access.ts';
import { checkTools } from '../tools/definitions.ts';
import { checkMaxTokens, checkModel, checkThinking } from '../turn-options.ts';
import { changesTurn, columnsOf, givenNames, type SessionFields } from './fields.ts';
import type { ShowSession } from './read.ts';

/** Checks only the fields of this request. A reduced catalogue must not refuse new metadata. */
function checkOptions(session: SessionRow, fields: SessionFields, catalogue: Catalogue): void {
  const { model, max_tokens, temperature, thinking } = fields;
  const options: TurnOptions = JSON.parse(session.turn_options);
  if (model !== undefined || max_tokens !== undefined)
    checkMaxTokens(catalogue, session.model, options.max_tokens);
  if ([model, max_tokens, temperature, thinking].some((each) => each !== undefined))
    checkThinking(catalogue, session.model, options, fields);
}

async function applyFields(
  tx: SessionTransaction,
  fields: SessionFields,
  catalogue: Catalogue,
): Promise<void> {
  tx.patch({
    ...(changesTurn(fields) ? holdSettings(tx.session) : {}),
    ...columnsOf(fields, tx.session, tx.now),
    updated_at: tx.now,
  });
  checkOptions(tx.session, fields, catalogue);
  if (fields.metadata !== undefined)
    await indexMetadata(tx.rows, tx.session, JSON.parse(tx.session.metadata));
}

function checkEnded({ status }: SessionRow, names: string[]): void {
  if (status === 'active' || names.every((name) => name === 'metadata')) return;
  throw new ApiError('session_ended', "The session has ended; only its 'metadata' can still change");
}

export interface UpdateDeps extends ChangeDeps {
  catalogue: Catalogue;
  checker: SchemaChecker;
  sessionView: SessionView;
  show: ShowSession;
  once: Once;
}

export function createUpdate(deps: UpdateDeps) {
  const { catalogue, checker, sessionView, show, once } = deps;

  async function apply(caller: Caller, id: string, fields: SessionFields, keep: Keep): Promise<Session> {
    const names = givenNames(fields);
    await changeSession(deps, caller, id, async (tx) => {
      await keep(tx.rows);
      if (names.length === 0) return;
      checkEnded(tx.session, names);
      await applyFields(tx, fields, catalogue);
      tx.append('session.updated', null, { session: sessionView(tx.session) });
      const { status, model, expires_at } = tx.session;
      if (status === 'active') tx.tell('configure', { model, expiresAtMs: expires_at });
    });
    return show(caller, id);
  }

  return async function update(
    caller: Caller,
    id: string,
    body: UpdateSession,
    idempotency: Idempotency | null,
  ): Promise<Written<Session>> {
    if (body.model !== undefined) checkModel(catalogue, body.model);
    const tools = body.tools && (await checkTools(body.tools, checker));
    return once(
      caller,
      idempotency,
      (keep) => apply(caller, id, { ...body, tools }, keep),
      () => show(caller, id),
    );
  };
}
