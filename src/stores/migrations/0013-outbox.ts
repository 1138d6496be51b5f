// Signals that workflows must hear, until Temporal has accepted them. Rows replace the marks on messages, calls and sessions; the
// marks' columns stay for processes of the version before.
import { randomInt } from 'node:crypto';
import { type Kysely, SqliteAdapter, sql } from 'kysely';

interface Unmarked {
  session_id: string;
  at: number;
}

const ID_MAX = 2 ** 48 - 1;

/** The tables as this migration knows them. */
interface Before {
  outbox: { id: number; session_id: string; signal: string; argument: string; due_at: number };
  messages: {
    id: string;
    session_id: string;
    role: string;
    status: string;
    reply_id: string | null;
    position: number | null;
    interrupts_reply_id: string | null;
    created_at: number;
    signalled_at: number | null;
  };
  tool_calls: {
    id: string;
    session_id: string;
    type: string;
    status: string;
    completed_at: number;
    signalled_at: number | null;
  };
  sessions: {
    id: string;
    expires_at: number | null;
    ended_reason: string | null;
    ended_at: number;
    end_signalled_at: number | null;
  };
}

const insert = async (
  db: Kysely<Before>,
  signal: string,
  { session_id, at }: Unmarked,
  argument: object,
): Promise<void> => {
  const row = { session_id, signal, argument: JSON.stringify(argument), due_at: at };
  await db
    .insertInto('outbox')
    .values({ id: randomInt(ID_MAX), ...row })
    .execute();
};

async function keepMessages(db: Kysely<Before>): Promise<void> {
  const users = await db
    .selectFrom('messages')
    .innerJoin('sessions', 'sessions.id', 'messages.session_id')
    .select(['messages.id', 'session_id', 'reply_id', 'position', 'interrupts_reply_id', 'expires_at'])
    .select('messages.created_at as at')
    .where('messages.status', '=', 'queued')
    .where('role', '=', 'user')
    .where('signalled_at', 'is', null)
    .execute();
  for (const user of users)
    await insert(db, 'message', user, {
      messageId: user.id,
      replyId: user.reply_id ?? '',
      position: Number(user.position ?? 0),
      preview: '',
      expiresAtMs: user.expires_at === null ? null : Number(user.expires_at),
      ...(user.interrupts_reply_id === null ? {} : { interrupts: user.interrupts_reply_id }),
    });
}

async function keepResults(db: Kysely<Before>): Promise<void> {
  const calls = await db
    .selectFrom('tool_calls')
    .select(['id', 'session_id', 'completed_at as at'])
    .where('type', '=', sql.lit('custom'))
    .where('status', '=', sql.lit('completed'))
    .where('signalled_at', 'is', null)
    .execute();
  for (const call of calls) await insert(db, 'toolResult', call, { callId: call.id });
}

async function keepEnds(db: Kysely<Before>): Promise<void> {
  const ended = await db
    .selectFrom('sessions')
    .select(['id as session_id', 'ended_reason', 'ended_at as at'])
    .where('ended_at', 'is not', null)
    .where('end_signalled_at', 'is', null)
    .execute();
  // A run without anything to send ends all the same.
  for (const session of ended)
    await insert(db, 'end', session, { reason: session.ended_reason, isDue: true });
}

export async function up(db: Kysely<unknown>): Promise<void> {
  // SQLite keeps rows under an 'integer' key in the table itself: one page to write instead of two.
  const id = db.getExecutor().adapter instanceof SqliteAdapter ? 'integer' : 'bigint';
  await db.schema
    .createTable('outbox')
    .addColumn('id', id, (column) => column.primaryKey())
    .addColumn('session_id', 'text', (column) => column.notNull())
    .addColumn('signal', 'text', (column) => column.notNull())
    .addColumn('argument', 'text', (column) => column.notNull())
    .addColumn('due_at', 'bigint', (column) => column.notNull())
    .execute();
  const before = db as Kysely<Before>;
  await keepMessages(before);
  await keepResults(before);
  await keepEnds(before);
  // Of rows without a mark, which all are now.
  await db.schema.dropIndex('sessions_end_unsignalled').execute();
  await db.schema.dropIndex('tool_calls_unsignalled').execute();
}
