// Rows of tool calls.
import { type Kysely, sql } from 'kysely';
import { OPEN_TOOL_CALLS, type ToolCallStatus } from '../contracts/tools.ts';
import { type Keyset, page } from './keyset.ts';
import { CALL_ENVELOPE_BYTES } from './page-bytes.ts';
import type { Tables, ToolCallPatch, ToolCallRow } from './schema.ts';

export interface ToolCallQuery extends Keyset {
  accountId: string;
  sessionId?: string;
  status?: ToolCallStatus[];
  name?: string;
}

/** A call without its contents: its place in a list and its size. */
export interface ToolCallOutline extends Pick<ToolCallRow, 'id' | 'created_at' | 'step' | 'position'> {
  bytes: number;
}

/** Bytes of a call in a response. Both databases know the sizes without reading the contents. */
export const callBytes = sql<number>`${sql.lit(CALL_ENVELOPE_BYTES)} + octet_length(parameters) + coalesce(octet_length(result), 0)`;

const COLUMNS_BUT_RESULT = [
  ...([
    'id',
    'session_id',
    'account_id',
    'message_id',
    'step',
    'position',
    'provider_id',
    'name',
    'type',
  ] as const),
  ...(['parameters', 'status', 'is_error', 'on_timeout', 'expires_at'] as const),
  ...(['created_at', 'completed_at'] as const),
];

export function createToolCallRows(db: Kysely<Tables>) {
  const all = () => db.selectFrom('tool_calls').selectAll();

  const toolCall = (id: string): Promise<ToolCallRow | undefined> =>
    all().where('id', '=', id).executeTakeFirst();

  /** In the order in which the model made them. */
  const toolCalls = (messageIds: string[]): Promise<ToolCallRow[]> =>
    messageIds.length === 0
      ? Promise.resolve([])
      : all().where('message_id', 'in', messageIds).orderBy('step').orderBy('position').execute();

  /** Like `toolCalls` for one message, without reading the results. */
  const toolCallsWithoutResults = (messageId: string): Promise<ToolCallRow[]> =>
    db
      .selectFrom('tool_calls')
      .select(COLUMNS_BUT_RESULT)
      .select(sql<null>`null`.as('result'))
      .where('message_id', '=', messageId)
      .orderBy('step')
      .orderBy('position')
      .execute();

  /** Calls of a message without a result. */
  const openToolCalls = (messageId: string): Promise<ToolCallRow[]> =>
    all()
      .where('message_id', '=', messageId)
      .where('status', 'in', OPEN_TOOL_CALLS)
      .orderBy('step')
      .orderBy('position')
      .execute();

  const insertToolCalls = async (rows: ToolCallRow[]): Promise<void> => {
    if (rows.length > 0) await db.insertInto('tool_calls').values(rows).execute();
  };

  const updateToolCall = async (id: string, patch: ToolCallPatch): Promise<void> => {
    await db.updateTable('tool_calls').set(patch).where('id', '=', id).execute();
  };

  function listToolCalls(query: ToolCallQuery): Promise<ToolCallOutline[]> {
    let select = db
      .selectFrom('tool_calls')
      .select(['id', 'created_at', 'step', 'position'])
      .select(callBytes.as('bytes'))
      .where('account_id', '=', query.accountId);
    if (query.sessionId !== undefined) select = select.where('session_id', '=', query.sessionId);
    if (query.status) select = select.where('status', 'in', query.status);
    if (query.name !== undefined) select = select.where('name', '=', query.name);
    return page(select, query, [sql.ref('step'), sql.ref('position')]).execute();
  }

  /** The full rows of these calls in the same order. Leaves out calls deleted in the meantime. */
  async function wholeToolCalls(calls: readonly ToolCallOutline[]): Promise<ToolCallRow[]> {
    if (calls.length === 0) return [];
    const ids = calls.map(({ id }) => id);
    const found = new Map((await all().where('id', 'in', ids).execute()).map((row) => [row.id, row]));
    return ids.flatMap((id) => found.get(id) ?? []);
  }

  return {
    ...{ toolCall, toolCalls, toolCallsWithoutResults, openToolCalls, insertToolCalls, updateToolCall },
    ...{ listToolCalls, wholeToolCalls },
  };
}
