// Message reads shared by sessions and messages.
import type { Kysely } from 'kysely';
import type { Message } from '../../contracts/messages.ts';
import { settledSeq, streamedText } from '../../stores/log.ts';
import { createMessageOutlines, type MessageOutline } from '../../stores/message-outlines.ts';
import { createMessageRows } from '../../stores/message-rows.ts';
import { PAGE_BYTES_MAX } from '../../stores/page-bytes.ts';
import type { MessageRow, Tables, ToolCallRow } from '../../stores/schema.ts';
import { CALLS_BYTES_MIN, messageView, partialView } from '../../views/messages.ts';

export type MessageReader = ReturnType<typeof createMessageReader>;

export function createMessageReader(db: Kysely<Tables>) {
  const rows = createMessageRows(db);
  const outlines = createMessageOutlines(db);

  /** Calls of the current turn that wait for the client's results. Later turns can't begin before these results. */
  async function blockingCalls(sessionId: string): Promise<string[]> {
    const open = await db
      .selectFrom('tool_calls')
      .innerJoin('sessions', 'sessions.open_reply_id', 'tool_calls.message_id')
      .select('tool_calls.id')
      .where('sessions.id', '=', sessionId)
      .where('tool_calls.status', '=', 'awaiting_result')
      .orderBy('tool_calls.position')
      .execute();
    return open.map(({ id }) => id);
  }

  async function view(row: MessageRow): Promise<Message> {
    if (row.role === 'user') return messageView(row);
    if (row.status === 'queued')
      return { ...messageView(row), waiting_for: await blockingCalls(row.session_id) };
    const calls = await rows.toolCalls([row.id]);
    if (row.status !== 'in_progress') return messageView(row, calls);
    return partialView(row, await streamedText(db, row.id), calls);
  }

  /**
   * The live branch, oldest first, then the user messages that never joined the branch. At most `limit` messages of the
   * branch.
   */
  async function conversation(sessionId: string, limit?: number): Promise<MessageOutline[]> {
    // The order matters: a message that joins the branch between the two reads is found twice instead of missed.
    const waiting = await outlines.unattached(sessionId);
    const branch = await outlines.branch(await rows.head(sessionId), limit);
    const joined = new Set(branch.map(({ id }) => id));
    return [...branch.reverse(), ...waiting.filter(({ id }) => !joined.has(id))];
  }

  /** The messages' sizes in a response, in order. */
  async function sizesOf(messages: readonly MessageOutline[]): Promise<number[]> {
    const ofCalls = await outlines.bytesOfCalls(messages.map(({ id }) => id));
    return messages.map(({ id, bytes }) => {
      const least = bytes + Math.min(ofCalls.get(id) ?? 0, CALLS_BYTES_MIN);
      return Math.max(least, Math.min(bytes + (ofCalls.get(id) ?? 0), PAGE_BYTES_MAX));
    });
  }

  /** The complete messages in order, without messages deleted in the meantime. */
  async function viewAll(messages: readonly MessageOutline[]): Promise<Message[]> {
    const found = new Map((await rows.getAll(messages.map(({ id }) => id))).map((row) => [row.id, row]));
    return Promise.all(messages.flatMap(({ id }) => found.get(id) ?? []).map(view));
  }

  const { get, queued, toolCall, toolCalls, openToolCalls } = rows;
  return {
    ...{ get, queued, toolCall, toolCalls, openToolCalls, view, conversation, sizesOf, viewAll },
    settledSeq: (replyId: string, calls: ToolCallRow[]) => settledSeq(db, replyId, calls),
  };
}
