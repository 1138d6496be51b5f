// Rows of completed model calls.
import type { Kysely } from 'kysely';
import type { StepRow, Tables } from './schema.ts';

export function createStepRows(db: Kysely<Tables>) {
  const insertStep = async (row: StepRow): Promise<void> => {
    await db.insertInto('steps').values(row).execute();
  };

  const steps = (replyIds: string[]): Promise<StepRow[]> =>
    replyIds.length === 0
      ? Promise.resolve([])
      : db.selectFrom('steps').selectAll().where('reply_id', 'in', replyIds).orderBy('n').execute();

  /** Number of the last complete step, 0 if there is none. */
  const lastStep = async (replyId: string): Promise<number> => {
    const row = await db
      .selectFrom('steps')
      .select('n')
      .where('reply_id', '=', replyId)
      .orderBy('n', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row?.n ?? 0;
  };

  return { insertStep, steps, lastStep };
}
