// Removes a deleted session's contents in pieces. SQLite blocks the event loop for each statement, and contents may be gigabytes.
import { sql, type Transaction } from 'kysely';
import { withdrawDeliveries, withdrawThese } from './delivery-rows.ts';
import { countFitting } from './page-bytes.ts';
import type { Tables } from './schema.ts';
import { callBytes } from './tool-call-rows.ts';

/** The most bytes that one piece removes. SQLite writes each removed page to its log and overwrites the page. */
const PIECE_BYTES_MAX = 1024 * 1024;
const PIECE_ROWS_MAX = 200;

type Rows = Transaction<Tables>;

interface Removed {
  bytes: number;
  /** True if no row of this kind is left. */
  isAll: boolean;
}

interface Sized {
  bytes: number;
}

interface Selection<Row> {
  limit(count: number): { execute(): Promise<Row[]> };
}

/** Removes as many of the selected rows as fit, at least one. */
async function removeFitting<Row extends Sized>(
  selected: Selection<Row>,
  bytesMax: number,
  remove: (found: Row[]) => { execute(): Promise<unknown> },
): Promise<Removed> {
  const found = await selected.limit(PIECE_ROWS_MAX).execute();
  const count = countFitting(
    found.map(({ bytes }) => Number(bytes)),
    { bytesMax },
  );
  const removed = found.slice(0, count);
  if (count > 0) await remove(removed).execute();
  return {
    bytes: removed.reduce((sum, { bytes }) => sum + Number(bytes), 0),
    isAll: count === found.length && count < PIECE_ROWS_MAX,
  };
}

/** The progress of a removal. */
export interface Removal {
  /** Deliveries before this `seq` have no bodies any more. Rescanning them for each piece would take quadratic time. */
  bodiesFrom: number;
}

export const newRemoval = (): Removal => ({ bodiesFrom: 0 });

interface From {
  sessionId: string;
  now: number;
  removal: Removal;
}

type RemoveSome = (rows: Rows, from: From, bytesMax: number) => Promise<Removed>;

/** Newest first: a client that is behind sees a shorter log without a gap. */
const removeEvents: RemoveSome = (rows, { sessionId }, bytesMax) =>
  removeFitting(
    rows
      .selectFrom('events')
      .select(['seq', sql<number>`octet_length(data)`.as('bytes')])
      .where('session_id', '=', sessionId)
      .orderBy('seq', 'desc'),
    bytesMax,
    (found) =>
      rows
        .deleteFrom('events')
        .where('session_id', '=', sessionId)
        .where('seq', '>=', Math.min(...found.map(({ seq }) => Number(seq)))),
  );

/** Steps go before their messages, because an index finds steps by their reply only. */
const removeSteps: RemoveSome = (rows, { sessionId }, bytesMax) =>
  removeFitting(
    rows
      .selectFrom('steps')
      .select(['reply_id', 'n', sql<number>`octet_length(blocks)`.as('bytes')])
      .where('reply_id', 'in', ({ selectFrom }) =>
        selectFrom('messages').select('messages.id').where('messages.session_id', '=', sessionId),
      ),
    bytesMax,
    (found) =>
      rows
        .deleteFrom('steps')
        .where(({ or, and }) => or(found.map(({ reply_id, n }) => and({ reply_id, n })))),
  );

const idsOf = (found: readonly { id: string }[]): string[] => found.map(({ id }) => id);

const removeToolCalls: RemoveSome = (rows, { sessionId }, bytesMax) =>
  removeFitting(
    rows
      .selectFrom('tool_calls')
      .select(['id', callBytes.as('bytes')])
      .where('session_id', '=', sessionId),
    bytesMax,
    (found) => rows.deleteFrom('tool_calls').where('id', 'in', idsOf(found)),
  );

const removeMessages: RemoveSome = (rows, { sessionId }, bytesMax) =>
  removeFitting(
    rows
      .selectFrom('messages')
      .select(['id', sql<number>`octet_length(text) + octet_length(blocks)`.as('bytes')])
      .where('session_id', '=', sessionId),
    bytesMax,
    (found) => rows.deleteFrom('messages').where('id', 'in', idsOf(found)),
  );

/** `withdrawDeliveries` handles deliveries queued in the meantime. Pending `session.ended` deliveries stay. */
const removeBodies: RemoveSome = (rows, { sessionId, now, removal }, bytesMax) =>
  removeFitting(
    rows
      .selectFrom('deliveries')
      .select(['id', 'seq', sql<number>`octet_length(body)`.as('bytes')])
      .where('session_id', '=', sessionId)
      .where('seq', '>=', removal.bodiesFrom)
      .where(sql`octet_length(body)`, '>', 0)
      .where(({ or, eb }) => or([eb('status', '<>', 'pending'), eb('event_type', '<>', 'session.ended')]))
      .orderBy('seq'),
    bytesMax,
    (found) => {
      removal.bodiesFrom = Number(found.at(-1)?.seq);
      return withdrawThese(
        rows,
        found.map(({ id }) => id),
        now,
      );
    },
  );

const KINDS = [removeBodies, removeEvents, removeSteps, removeToolCalls, removeMessages];

/**
 * Removes a piece of a session's contents. The session's row stays, and so do the rows of its deliveries, without their bodies.
 * Idempotency keys stay for their day. A repeated DELETE then still succeeds, and a late retry of the creation gets 404 in place
 * of a second session. The keys hold only ids and digests.
 * @returns true if all contents are removed.
 */
export async function removeContents(rows: Rows, from: From): Promise<boolean> {
  let bytesLeft = PIECE_BYTES_MAX;
  for (const removeSome of KINDS) {
    const { bytes, isAll } = await removeSome(rows, from, bytesLeft);
    if (!isAll) return false;
    bytesLeft -= bytes;
  }
  await rows.deleteFrom('session_metadata').where('session_id', '=', from.sessionId).execute();
  await withdrawDeliveries(rows, from.sessionId, from.now);
  return true;
}
