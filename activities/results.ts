// What activities tell the workflow of a reply: ids and a short preview, never contents.
import type { MessageRow, SessionRow } from '../src/stores/schema.ts';
import { preview } from '../src/turns/snapshot.ts';
import type { ModelStepResult, TurnStatus } from '../workflows/protocol.ts';

/** The result of a reply that has ended. */
export function settled(
  session: Pick<SessionRow, 'expires_at'>,
  messageId: string,
  reply: MessageRow,
  showPreviews: boolean,
): ModelStepResult {
  const failure = reply.error === null ? null : (JSON.parse(reply.error) as { message: string }).message;
  return {
    kind: 'settled',
    messageId,
    replyId: reply.id,
    status: reply.status as TurnStatus,
    head: reply.depth === null ? reply.parent_id : reply.id,
    preview: showPreviews ? preview(failure ?? reply.text) : '',
    expiresAtMs: session.expires_at,
  };
}
