// Records the cost of a model call whose attempt lost the fence or failed to write. The fence doesn't apply because no
// content is written.
import { isTerminal } from '../contracts/messages.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { ModelUsage } from '../models/port.ts';
import { correctModelCall, findModelCall, type SessionLog, type SessionTransaction } from '../stores/log.ts';
import { addUsage, type MessageRow, subtractUsage, type UsageColumns } from '../stores/schema.ts';
import { charge, openCallOf } from './charge.ts';
import type { StepWriter } from './step-writer.ts';

export interface LateCall {
  usage: ModelUsage;
  /** True if the workflow cancelled the attempt. Its reply is closed, or about to be. */
  isCancelled: boolean;
}

/** @returns the usage that the ledger didn't have yet. */
async function chargeLate(
  tx: SessionTransaction,
  call: ReturnType<typeof openCallOf>,
  outcome: 'interrupted' | 'superseded',
): Promise<UsageColumns> {
  const line = await findModelCall(tx.rows, call.id);
  if (!line) return charge(tx, call, { outcome, errorCode: null });
  const more = subtractUsage(call, line);
  if (Object.values(more).every((count) => count === 0)) return more;
  await correctModelCall(tx.rows, call.id, addUsage(line, more));
  tx.patch(addUsage(tx.session, more));
  return more;
}

const outcomeOf = (reply: MessageRow | undefined, isCancelled: boolean) =>
  isCancelled || !reply || reply.status === 'interrupted' ? 'interrupted' : 'superseded';

export const createRecordLateCall = ({ log, catalogue }: { log: SessionLog; catalogue: Catalogue }) =>
  /**
   * Charges for a call that was interrupted, superseded or cut off by a worker stop. For a charged call, adds the usage
   * reported since. The session always gets the tokens, and the reply gets them while open. An ended reply never
   * changes, so later usage appears only in the session and the ledger.
   */
  async function recordLateCall(writer: StepWriter, { usage, isCancelled }: LateCall): Promise<void> {
    await log.write(writer.sessionId, async (tx) => {
      const reply = await tx.messages.get(writer.replyId);
      const call = openCallOf(catalogue, writer, usage);
      const more = await chargeLate(tx, call, outcomeOf(reply, isCancelled));
      if (reply && !isTerminal(reply.status)) await tx.messages.update(reply.id, addUsage(reply, more));
    });
  };
