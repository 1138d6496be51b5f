// The second half of a deletion.
import type { SessionLog } from '../../stores/log.ts';
import { removeContents } from '../../stores/sessions.ts';

/** Removes what an ended session holds; its row stays, so that late writers and signals meet it as gone. */
export async function purge(log: SessionLog, sessionId: string): Promise<void> {
  await log.write(sessionId, async (tx) => {
    await removeContents(tx.rows, sessionId, tx.now);
    tx.patch({
      deleted_at: tx.now,
      // The run of a session that had ended before has not heard of the deletion: it is erased after it has.
      end_signalled_at: null,
      check_at: tx.now,
      system_prompt: null,
      metadata: '{}',
      tools: '[]',
      turn_options: '{}',
      turn_settings: null,
      head: null,
      open_reply_id: null,
      open_call: null,
    });
  });
}
