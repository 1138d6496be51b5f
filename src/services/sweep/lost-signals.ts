// Signals that were told in a transaction and never acknowledged are sent again. A duplicate is harmless: rows decide what it means.
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
  /** Its turn has begun: the signal would cost a replay and change nothing, unless it interrupts as well. */
  async function isObsolete({ tell }: LostTell): Promise<boolean> {
    if (tell.signal !== 'message' || tell.argument.interrupts !== undefined) return false;
    return !(await outboxRows.isQueued(tell.argument.messageId));
  }

  return {
    /** When the only process that could send them has just begun, all of them are lost. */
    find: (everything) =>
      outboxRows.claimLost(everything && isOnlyWorker ? Number.MAX_SAFE_INTEGER : now(), now()),
    async help(lost) {
      if (await isObsolete(lost)) await outboxRows.remove([lost.tell.id]);
      else await outbox.send(lost.session, lost.tell);
    },
  };
}
