// Resends signals that were committed but never acknowledged. A duplicate is harmless because the rows are authoritative.
import type { LostTell, OutboxStore } from '../../stores/outbox.ts';
import type { Outbox } from '../outbox.ts';
import type { Look } from './look.ts';

export interface LostSignalsDeps {
  outboxRows: OutboxStore;
  outbox: Pick<Outbox, 'send'>;
  now: () => number;
  isOnlyWorker: boolean;
}

export function lostSignals({ outboxRows, outbox, now, isOnlyWorker }: LostSignalsDeps): Look<LostTell> {
  /** True if the message's turn has begun. The signal would cost a replay and change nothing, unless it also interrupts. */
  async function isObsolete({ tell }: LostTell): Promise<boolean> {
    if (tell.signal !== 'message' || tell.argument.interrupts !== undefined) return false;
    return !(await outboxRows.isQueued(tell.argument.messageId));
  }

  return {
    /** If the only sending process has just started, all unacknowledged signals are lost. */
    find: (everything) =>
      outboxRows.claimLost(everything && isOnlyWorker ? Number.MAX_SAFE_INTEGER : now(), now()),
    async help(lost) {
      // The row is due again. Another process may have sent or replaced its signal since.
      if (now() >= lost.claimedUntilMs) return;
      if (await isObsolete(lost)) await outboxRows.remove([lost.tell.id]);
      else await outbox.send(lost.session, lost.tell);
    },
  };
}
