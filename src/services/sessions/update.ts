// Changes a session's settings for its next turn, and its metadata at any time.
import { METADATA_KEYS_MAX } from '../../contracts/common.ts';
import { ApiError } from '../../contracts/errors.ts';
import { stringifyJson } from '../../contracts/json.ts';
import type { Session, UpdateSession } from '../../contracts/sessions.ts';
import type { Catalogue } from '../../models/catalogue.ts';
import type { SessionTransaction } from '../../stores/log.ts';
import type { SessionPatch, SessionRow } from '../../stores/schema.ts';
import { indexMetadata } from '../../stores/sessions.ts';
import type { SchemaChecker } from '../../tools/json-schema/checker.ts';
import { idleDeadline } from '../../turns/attach.ts';
import { holdSettings } from '../../turns/settings.ts';
import type { SessionView, TurnOptions } from '../../views/sessions.ts';
import type { Keep, Once } from '../idempotency.ts';
import type { Caller, Idempotency, Written } from '../ports.ts';
import { type ChangeDeps, changeSession } from '../session-access.ts';
import type { Signals } from '../signals.ts';
import { checkTools, type ToolDefinition } from '../tools/definitions.ts';
import { checkMaxTokens, checkModel, checkThinking, turnOptionsOf } from '../turn-options.ts';
import type { ShowSession } from './read.ts';

/** The fields that the client has set; null is a value. */
const given = <T extends object>(fields: T): Partial<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;

/** Null deletes a key, anything else sets it. */
function mergeMetadata(
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

async function patchMetadata(tx: SessionTransaction, { metadata }: UpdateSession): Promise<void> {
  if (metadata === undefined) return;
  const merged = mergeMetadata(JSON.parse(tx.session.metadata), metadata);
  await indexMetadata(tx.rows, tx.session, merged);
  tx.patch({ metadata: JSON.stringify(merged) });
}

function mergeOptions(session: SessionRow, body: UpdateSession): TurnOptions {
  const { max_tokens, temperature, thinking } = body;
  const current: TurnOptions = JSON.parse(session.turn_options);
  return turnOptionsOf({ ...current, ...given({ max_tokens, temperature, thinking }) });
}

/** A session that is answering gets its deadline when it is idle again. */
function expiryOf(session: SessionRow, { expires_after_seconds }: UpdateSession, now: number): SessionPatch {
  if (expires_after_seconds === undefined) return {};
  const idle = session.open_reply_id === null && session.status === 'active';
  return { expires_after_seconds, expires_at: idle ? idleDeadline(expires_after_seconds, now) : null };
}

/** What a request asks for, with its tools checked. */
type Update = UpdateSession & { definitions: ToolDefinition[] | undefined };

async function applyUpdate(tx: SessionTransaction, body: Update, catalogue: Catalogue): Promise<void> {
  const { model, system_prompt, on_busy } = body;
  const tools =
    body.definitions && stringifyJson(body.definitions.map((tool) => ({ ...tool, created_at: tx.now })));
  await patchMetadata(tx, body);
  const options = mergeOptions(tx.session, body);
  // Only what this request sets is checked: a catalogue that has shrunk must not refuse new metadata.
  if (model !== undefined || body.max_tokens !== undefined)
    checkMaxTokens(catalogue, model ?? tx.session.model, options.max_tokens);
  const { max_tokens, temperature, thinking } = body;
  if ([model, max_tokens, temperature, thinking].some((each) => each !== undefined))
    checkThinking(catalogue, model ?? tx.session.model, options, body);
  const changes = [system_prompt, tools, max_tokens, temperature, thinking].some(
    (each) => each !== undefined,
  );
  tx.patch({
    ...(changes ? holdSettings(tx.session) : {}),
    ...given({ model, system_prompt, tools, on_busy }),
    ...expiryOf(tx.session, body, tx.now),
    turn_options: JSON.stringify(options),
    updated_at: tx.now,
  });
}

function checkEnded({ status }: SessionRow, fields: string[]): void {
  if (status === 'active' || fields.every((field) => field === 'metadata')) return;
  throw new ApiError('session_ended', "The session has ended; only its 'metadata' can still change");
}

export interface UpdateDeps extends ChangeDeps {
  catalogue: Catalogue;
  checker: SchemaChecker;
  sessionView: SessionView;
  show: ShowSession;
  signals: Signals;
  once: Once;
}

export function createUpdate(deps: UpdateDeps) {
  const { catalogue, checker, sessionView, show, signals, once } = deps;

  async function apply(caller: Caller, id: string, update: Update, keep: Keep): Promise<Session> {
    const { definitions, ...body } = update;
    const fields = Object.keys(body);
    const session = await changeSession(deps, caller, id, async (tx) => {
      await keep(tx.rows);
      if (fields.length === 0) return undefined;
      checkEnded(tx.session, fields);
      await applyUpdate(tx, update, catalogue);
      tx.append('session.updated', null, { session: sessionView(tx.session) });
      return tx.session;
    });
    if (session?.status === 'active')
      signals.configureLater(session, { model: session.model, expiresAtMs: session.expires_at });
    return show(caller, id);
  }

  return async function update(
    caller: Caller,
    id: string,
    body: UpdateSession,
    idempotency: Idempotency | null,
  ): Promise<Written<Session>> {
    if (body.model !== undefined) checkModel(catalogue, body.model);
    const definitions = body.tools && (await checkTools(body.tools, checker));
    return once(
      caller,
      idempotency,
      (keep) => apply(caller, id, { ...body, definitions }, keep),
      () => show(caller, id),
    );
  };
}
