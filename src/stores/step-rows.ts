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

  return { insertStep, steps };
}
