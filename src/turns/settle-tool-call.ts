// The result of a tool that a worker has run.
import { isTerminal } from '../contracts/messages.ts';
import type { SessionLog, SessionTransaction } from '../stores/log.ts';
import type { ToolCallRow } from '../stores/schema.ts';
import { isOpen, type Outcome, settleCall } from './tool-calls.ts';

export interface ToolCallRef {
  sessionId: string;
  replyId: string;
  callId: string;
}

async function openCall(
  tx: SessionTransaction,
  { replyId, callId }: ToolCallRef,
): Promise<ToolCallRow | undefined> {
  const reply = await tx.messages.get(replyId);
  if (!reply || isTerminal(reply.status)) return undefined;
  const call = (await tx.messages.toolCalls([replyId])).find(({ id }) => id === callId);
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
