// Messages without their contents: ids, order and sizes.
import { type Kysely, sql } from 'kysely';
import { walkBranch } from './branch.ts';
import { MESSAGE_ENVELOPE_BYTES } from './page-bytes.ts';
import type { MessageRow, Tables } from './schema.ts';
import { callBytes } from './tool-call-rows.ts';

export interface MessageOutline
  extends Pick<MessageRow, 'id' | 'session_id' | 'parent_id' | 'depth' | 'position' | 'role'> {
  /** Bytes of the message in a response, without its tool calls. Both databases know the sizes without reading text or blocks. */
  bytes: number;
}

/** `{"step":1,"text":""}`: the bytes of a delta's data besides the text. */
const DELTA_BYTES = sql.lit(21);

/**
 * Bytes of the text of the step in progress, as JSON. The reply's text and blocks don't hold it yet. Its deltas follow the end of
 * the previous step, or the reset of an earlier attempt.
 */
const streamedBytes = sql<number>`coalesce((
  select sum(octet_length(events.data) - ${DELTA_BYTES}) from events
  where events.message_id = messages.id and events.type = 'message.delta' and events.seq > coalesce((
    select max(seq) from events as ends
    where ends.message_id = messages.id and ends.type in ('message.content_ended', 'message.reset')), 0)), 0)`;

/**
 * A response holds the text twice: as `content` and in `content_blocks`. The stored blocks are JSON and hold all of it, so their
 * length counts escapes. A control character is one byte of text and six bytes of the response.
 */
const shownBytes = sql<number>`${sql.lit(MESSAGE_ENVELOPE_BYTES)} + 2 * octet_length(blocks) + coalesce(octet_length(error), 0)
  + case when messages.status = 'in_progress' then 2 * ${streamedBytes} else 0 end`;

/** PostgreSQL returns a sum as text. */
const asNumber = <T extends { bytes: number }>(row: T): T => ({ ...row, bytes: Number(row.bytes) });
const asNumbers = <T extends { bytes: number }>(found: T[]): T[] => found.map(asNumber);

export function createMessageOutlines(db: Kysely<Tables>) {
  const all = () =>
    db
      .selectFrom('messages')
      .select(['id', 'session_id', 'parent_id', 'depth', 'position', 'role'])
      .select(shownBytes.as('bytes'));

  const get = (id: string): Promise<MessageOutline | undefined> =>
    all()
      .where('id', '=', id)
      .executeTakeFirst()
      .then((found) => found && asNumber(found));

  const range = (sessionId: string, depthMax: number, rowsMax: number): Promise<MessageOutline[]> =>
    all()
      .where('session_id', '=', sessionId)
      .where('depth', '<=', depthMax)
      .orderBy('depth', 'desc')
      .limit(rowsMax)
      .execute()
      .then(asNumbers);

  /** User messages outside every branch: queued, or failed because the session ended. */
  const unattached = (sessionId: string): Promise<MessageOutline[]> =>
    all()
      .where('session_id', '=', sessionId)
      .where('role', '=', 'user')
      .where('depth', 'is', null)
      .orderBy('position')
      .execute()
      .then(asNumbers);

  /** Bytes of the tool calls of each of these messages. Messages without calls have no entry. */
  async function bytesOfCalls(ids: string[]): Promise<Map<string, number>> {
    if (ids.length === 0) return new Map();
    const found = await db
      .selectFrom('tool_calls')
      .select('message_id')
      .select(sql<number>`sum(${callBytes})`.as('bytes'))
      .where('message_id', 'in', ids)
      .groupBy('message_id')
      .execute();
    return new Map(found.map(({ message_id, bytes }) => [message_id, Number(bytes)]));
  }

  return {
    ...{ unattached, bytesOfCalls },
    /** The branch that ends in `head`, newest first, at most `limit` messages. */
    branch: (head: string | null, limit?: number) => walkBranch({ get, range }, head, limit),
  };
}
