// Ends sessions: completed, archived, or deleted with all contents.
import type { Logger } from 'pino';
import { type Deleted, deleted } from '../../contracts/common.ts';
import type { Session } from '../../contracts/sessions.ts';
import type { LiveChannel } from '../../events/live-channel.ts';
import type { SessionTransaction } from '../../stores/log.ts';
import type { Turns } from '../../turns/index.ts';
import { tellEnd } from '../../turns/tell-end.ts';
import type { SessionView } from '../../views/sessions.ts';
import type { Keep, Once } from '../idempotency.ts';
import type { Caller, Idempotency, Written } from '../ports.ts';
import { type ChangeDeps, changeSession } from '../session-access.ts';
import { purge } from './purge.ts';
import type { ShowSession } from './read.ts';

export interface EndDeps extends ChangeDeps {
  turns: Turns;
  sessionView: SessionView;
  show: ShowSession;
  once: Once;
  channel: Pick<LiveChannel, 'told'>;
  logger: Logger;
}

type Reason = 'completed' | 'archived';

interface Ending {
  reason: Reason;
  isBare: boolean;
}

export function createEnds(deps: EndDeps) {
  const { log, turns, sessionView, show, once, channel, logger } = deps;

  /** An ended session can still be archived. */
  async function endOnce(tx: SessionTransaction, { reason, isBare }: Ending): Promise<void> {
    if (tx.session.status === 'active') return turns.endSession(tx, { reason, isBare });
    if (reason === 'archived' && tx.session.status === 'completed') {
      tx.patch({ status: 'archived', updated_at: tx.now });
      tx.append('session.updated', null, { session: sessionView(tx.session) });
    }
  }

  async function end(caller: Caller, id: string, reason: Reason, keep: Keep): Promise<Session> {
    await changeSession(deps, caller, id, async (tx, isBare) => {
      await keep(tx.rows);
      await endOnce(tx, { reason, isBare });
    });
    return show(caller, id);
  }

  const ends =
    (reason: Reason) =>
    (caller: Caller, id: string, idempotency: Idempotency | null): Promise<Written<Session>> =>
      once(
        caller,
        idempotency,
        (keep) => end(caller, id, reason, keep),
        () => show(caller, id),
      );

  /** Two transactions. If the second fails or gets lost, the reconciler runs it. */
  async function remove(caller: Caller, id: string, keep: Keep): Promise<Deleted> {
    await changeSession(deps, caller, id, async (tx, isBare) => {
      await keep(tx.rows);
      if (tx.session.status === 'active') await turns.endSession(tx, { reason: 'deleted', isBare });
      else {
        tx.patch({ updated_at: tx.now });
        // Clients know that the session has ended, but not that it is deleted.
        tx.append('session.ended', null, { session: sessionView(tx.session), reason: 'deleted' });
        tx.patch({ ended_reason: 'deleted' });
        await tellEnd(tx, 'deleted');
      }
    });
    // Followers, in other processes too, read the last events before the events are removed.
    await channel.told();
    // The session counts as deleted already, so an error response would be wrong.
    await purge(log, id).catch((error: unknown) =>
      logger.warn({ err: error, sessionId: id }, 'What a deleted session held is left to the sweep'),
    );
    return deleted(id);
  }

  return {
    complete: ends('completed'),
    archive: ends('archived'),
    delete: (caller: Caller, id: string, idempotency: Idempotency | null): Promise<Written<Deleted>> =>
      once(
        caller,
        idempotency,
        (keep) => remove(caller, id, keep),
        async () => deleted(id),
      ),
  };
}
