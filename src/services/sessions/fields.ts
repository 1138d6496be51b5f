// The fields that a client sets and the columns that hold them. POST and PATCH share this table.
import { METADATA_KEYS_MAX } from '../../contracts/common.ts';
import { ApiError } from '../../contracts/errors.ts';
import { stringifyJson } from '../../contracts/json.ts';
import type { CreateSession, UpdateSession } from '../../contracts/sessions.ts';
import type { SessionPatch, SessionRow } from '../../stores/schema.ts';
import { idleDeadline } from '../../turns/attach.ts';
import type { TurnOptions } from '../../views/sessions.ts';
import type { ToolDefinition } from '../tools/definitions.ts';
import { turnOptionsOf } from '../turn-options.ts';

/**
 * Every field of both bodies except the first message. Shared fields have PATCH's type, because PATCH can change more
 * than POST can set.
 */
type BodyFields = UpdateSession & Omit<CreateSession, keyof UpdateSession | 'message'>;

/** The fields of a request, with checked tools. */
export type SessionFields = Omit<BodyFields, 'tools'> & { tools?: ToolDefinition[] | undefined };

interface Field<Value> {
  /** @param session The row before the change, or the empty row of a new session. */
  columns(value: Value, session: SessionRow, now: number): SessionPatch;
  /** A turn in progress continues with the former value. */
  isHeld?: true;
}

type Fields = { [Name in keyof SessionFields]-?: Field<Exclude<SessionFields[Name], undefined>> };

/** Null deletes a key, any other value sets the key. */
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

const turnOption = <Name extends keyof TurnOptions>(name: Name): Field<TurnOptions[Name]> => ({
  columns: (value, { turn_options }) => ({
    turn_options: JSON.stringify(turnOptionsOf({ ...JSON.parse(turn_options), [name]: value })),
  }),
  isHeld: true,
});

const FIELDS = {
  title: { columns: (title) => ({ title }) },
  model: { columns: (model) => ({ model }) },
  system_prompt: { columns: (system_prompt) => ({ system_prompt }), isHeld: true },
  tools: {
    columns: (tools, _, now) => ({
      tools: stringifyJson(tools.map((tool) => ({ ...tool, created_at: now }))),
    }),
    isHeld: true,
  },
  metadata: {
    columns: (metadata, session) => ({
      metadata: JSON.stringify(mergeMetadata(JSON.parse(session.metadata), metadata)),
    }),
  },
  on_busy: { columns: (on_busy) => ({ on_busy }) },
  // A session with a turn in progress gets its deadline when it is idle again.
  expires_after_seconds: {
    columns: (seconds, { open_reply_id, status }, now) => ({
      expires_after_seconds: seconds,
      expires_at: open_reply_id === null && status === 'active' ? idleDeadline(seconds, now) : null,
    }),
  },
  max_tokens: turnOption('max_tokens'),
  temperature: turnOption('temperature'),
  thinking: turnOption('thinking'),
} satisfies Fields;

const NAMES = Object.keys(FIELDS) as (keyof Fields)[];

/** The names of the fields that a request sets. Null counts as a value. */
export const givenNames = (fields: SessionFields): (keyof Fields)[] =>
  NAMES.filter((name) => fields[name] !== undefined);

export const changesTurn = (fields: SessionFields): boolean =>
  givenNames(fields).some((name) => (FIELDS as Fields)[name].isHeld);

/** The columns that these fields set. @throws ApiError when the merged metadata is too large. */
export function columnsOf(fields: SessionFields, session: SessionRow, now: number): SessionPatch {
  let patch: SessionPatch = {};
  for (const name of givenNames(fields)) {
    const { columns }: Field<never> = FIELDS[name];
    // Several fields share a column.
    patch = { ...patch, ...columns(fields[name] as never, { ...session, ...patch } as SessionRow, now) };
  }
  return patch;
}
