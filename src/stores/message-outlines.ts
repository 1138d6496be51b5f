// Messages without what they say: which ones a conversation has, in which order, and how long they are.
import { type Kysely, sql } from 'kysely';
import { walkBranch } from './branch.ts';
import { MESSAGE_ENVELOPE_BYTES } from './page-bytes.ts';
import type { MessageRow, Tables } from './schema.ts';
import { callBytes } from './tool-call-rows.ts';

export interface MessageOutline
  extends Pick<MessageRow, 'id' | 'session_id' | 'parent_id' | 'depth' | 'position' | 'role'> {
  /** Bytes of the message in an answer, without its tool calls. Both databases know them without reading text or blocks. */
  bytes: number;
}

/** `{"step":1,"text":""}`: what the data of a delta adds to its text. */
const DELTA_BYTES = sql.lit(21);

/**
 * The text of the step in progress, as JSON: neither the text nor the blocks of its reply hold it. Its deltas follow the end of
 * the step before, or the reset that withdrew an earlier try.
 */
const streamedBytes = sql<number>`coalesce((
  select sum(octet_length(events.data) - ${DELTA_BYTES}) from events
  where events.message_id = messages.id and events.type = 'message.delta' and events.seq > coalesce((
    select max(seq) from events as ends
    where ends.message_id = messages.id and ends.type in ('message.content_ended', 'message.reset')), 0)), 0)`;

/**
 * An answer holds the text twice: as `content` and in `content_blocks`. The stored blocks are JSON and hold all of it, so
 * their length counts escapes; a control character is one byte of the text and six of the answer.
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

  /** User messages that never joined the branch: waiting, or failed when the session ended. */
  const unattached = (sessionId: string): Promise<MessageOutline[]> =>
    all()
      .where('session_id', '=', sessionId)
      .where('role', '=', 'user')
      .where('depth', 'is', null)
      .orderBy('position')
      .execute()
      .then(asNumbers);

  /** What the calls of each of these messages add to it; nothing is said of those that have made none. */
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
    /** The branch that ends in `head`, newest first, at most `limit` of it. */
    branch: (head: string | null, limit?: number) => walkBranch({ get, range }, head, limit),
  };
}
