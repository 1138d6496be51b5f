// The result of a tool run by a worker.
import type { SessionLog, SessionTransaction } from '../stores/log.ts';
import type { ToolCallRow } from '../stores/schema.ts';
import { isOpen } from '../views/tool-calls.ts';
import { type Outcome, settleCall } from './tool-calls.ts';

export interface ToolCallRef {
  sessionId: string;
  callId: string;
}

/** Ending a reply closes its calls, so an open call still needs a result. */
async function openCall(tx: SessionTransaction, { callId }: ToolCallRef): Promise<ToolCallRow | undefined> {
  const call = await tx.messages.toolCall(callId);
  return call && isOpen(call) ? call : undefined;
}

export const createToolCallResults = ({ log }: { log: SessionLog }) => ({
  /** @returns undefined if the call has a result or no longer needs one. */
  openToolCall: (ref: ToolCallRef): Promise<ToolCallRow | undefined> =>
    log.write(ref.sessionId, (tx) => openCall(tx, ref)),

  /** Gives the call its one result. A later result, from an attempt that was considered dead, changes nothing. */
  async settleToolCall(ref: ToolCallRef, outcome: Outcome): Promise<void> {
    await log.write(ref.sessionId, async (tx) => {
      const call = await openCall(tx, ref);
      if (call) await settleCall(tx, call, outcome);
    });
  },
});
