// Results that activities return to the workflow about a reply: ids and a short preview, never contents.
import type { MessageRow, SessionRow } from '../src/stores/schema.ts';
import { preview } from '../src/turns/snapshot.ts';
import type { ModelStepResult, TurnStatus } from '../workflows/protocol.ts';

/** The result of an ended reply. The branch continues from `head`. */
export function settled(
  session: Pick<SessionRow, 'expires_at'>,
  reply: MessageRow,
  showPreviews: boolean,
  head: string | null = reply.id,
): ModelStepResult {
  const failure = reply.error === null ? null : (JSON.parse(reply.error) as { message: string }).message;
  return {
    kind: 'settled',
    replyId: reply.id,
    status: reply.status as TurnStatus,
    head,
    preview: showPreviews ? preview(failure ?? reply.text) : '',
    expiresAtMs: session.expires_at,
  };
}
