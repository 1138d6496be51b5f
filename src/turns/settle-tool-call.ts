// The result of a tool that a worker has run.
import type { SessionLog, SessionTransaction } from '../stores/log.ts';
import type { ToolCallRow } from '../stores/schema.ts';
import { isOpen } from '../views/tool-calls.ts';
import { type Outcome, settleCall } from './tool-calls.ts';

export interface ToolCallRef {
  sessionId: string;
  callId: string;
}

/** The end of a reply closes its calls: an open one is wanted. */
async function openCall(tx: SessionTransaction, { callId }: ToolCallRef): Promise<ToolCallRow | undefined> {
  const call = await tx.messages.toolCall(callId);
  return call && isOpen(call) ? call : undefined;
}

export const createToolCallResults = ({ log }: { log: SessionLog }) => ({
  /** @returns undefined when it has its result, or nobody wants one any more. */
  openToolCall: (ref: ToolCallRef): Promise<ToolCallRow | undefined> =>
    log.write(ref.sessionId, (tx) => openCall(tx, ref)),

  /** Gives the call its one result; a later one, of a try that was thought dead, changes nothing. */
  async settleToolCall(ref: ToolCallRef, outcome: Outcome): Promise<void> {
    await log.write(ref.sessionId, async (tx) => {
      const call = await openCall(tx, ref);
      if (call) await settleCall(tx, call, outcome);
    });
  },
});
