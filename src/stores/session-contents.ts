// Removes what a deleted session held, in pieces: SQLite keeps the event loop for each statement, and a session may hold gigabytes.
import { sql, type Transaction } from 'kysely';
import { withdrawDeliveries, withdrawThese } from './delivery-rows.ts';
import { countFitting } from './page-bytes.ts';
import type { Tables } from './schema.ts';
import { callBytes } from './tool-call-rows.ts';

/** What one piece removes at most. SQLite writes each removed page to its log and overwrites the page. */
const PIECE_BYTES_MAX = 1024 * 1024;
const PIECE_ROWS_MAX = 200;

type Rows = Transaction<Tables>;

interface Removed {
  bytes: number;
  /** Whether no row of this kind is left. */
  isAll: boolean;
}

interface Sized {
  bytes: number;
}

interface Selection<Row> {
  limit(count: number): { execute(): Promise<Row[]> };
}

/** Removes the first of the selected rows, at least one. */
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

/** How far a removal has come. */
export interface Removal {
  /** Deliveries before this `seq` have no bodies any more. To look them through again for each piece takes quadratic time. */
  bodiesFrom: number;
}

export const newRemoval = (): Removal => ({ bodiesFrom: 0 });

interface From {
  sessionId: string;
  now: number;
  removal: Removal;
}

type RemoveSome = (rows: Rows, from: From, bytesMax: number) => Promise<Removed>;

/** The newest go first: a reader that is behind meets an end of the log and no gap. */
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

/** An index leads to them from their replies only, so they go before the messages. */
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

const removeToolCalls: RemoveSome = (rows, { sessionId }, bytesMax) =>
  removeFitting(
    rows
      .selectFrom('tool_calls')
      .select(['id', callBytes.as('bytes')])
      .where('session_id', '=', sessionId),
    bytesMax,
    (found) =>
      rows.deleteFrom('tool_calls').where(
        'id',
        'in',
        found.map(({ id }) => id),
      ),
  );

const removeMessages: RemoveSome = (rows, { sessionId }, bytesMax) =>
  removeFitting(
    rows
      .selectFrom('messages')
      .select(['id', sql<number>`octet_length(text) + octet_length(blocks)`.as('bytes')])
      .where('session_id', '=', sessionId),
    bytesMax,
    (found) =>
      rows.deleteFrom('messages').where(
        'id',
        'in',
        found.map(({ id }) => id),
      ),
  );

/** `withdrawDeliveries` does the same for what is queued meanwhile. Their end stays to be told. */
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
 * Removes a piece of what a session holds besides its row. Idempotency keys live out their day: a repeated DELETE is to hear
 * that it has worked, and a late retry of the creation must not make a second session, but learn that the one it made
 * is gone (404). They hold no contents, only ids and digests. Of its deliveries the rows stay, without their bodies.
 * @returns whether all is gone.
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
