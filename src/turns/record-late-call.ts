// The bill of a model call whose attempt may not write any more, or could not: no content, so the fence lets it pass.
import { isTerminal } from '../contracts/messages.ts';
import type { Catalogue } from '../models/catalogue.ts';
import type { ModelUsage } from '../models/port.ts';
import { correctModelCall, findModelCall, type SessionLog, type SessionTransaction } from '../stores/log.ts';
import { addUsage, type MessageRow, subtractUsage, type UsageColumns } from '../stores/schema.ts';
import { charge, openCallOf } from './charge.ts';
import type { StepWriter } from './step-writer.ts';

export interface LateCall {
  usage: ModelUsage;
  /** Whether the workflow has cancelled the attempt: its reply is being closed, if it is not yet. */
  isCancelled: boolean;
}

/** @returns what the ledger did not have yet. */
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
   * Charges for a call that was interrupted, superseded or cut off by the stop of its worker, or adds what its provider
   * has told since it was charged for. The tokens are the session's in any case, and the reply's while it is open; a
   * reply that has ended never changes, so what is told after its end shows in the session's usage and the ledger only.
   */
  async function recordLateCall(writer: StepWriter, { usage, isCancelled }: LateCall): Promise<void> {
    await log.write(writer.sessionId, async (tx) => {
      const reply = await tx.messages.get(writer.replyId);
      const call = openCallOf(catalogue, writer, usage);
      const more = await chargeLate(tx, call, outcomeOf(reply, isCancelled));
      if (reply && !isTerminal(reply.status)) await tx.messages.update(reply.id, addUsage(reply, more));
    });
  };
