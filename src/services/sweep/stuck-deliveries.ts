// Deliveries that are due and have no sender: signals their workflow again.
import type { Kysely } from 'kysely';
import type { Logger } from 'pino';
import type { DeliveryQueue } from '../../stores/delivery-queue.ts';
import type { Tables } from '../../stores/schema.ts';
import { type Engine, engineSession } from '../engine.ts';
import { CHECK_EVERY_MS, type Look, lostBefore } from './look.ts';
import { createEndUnreplayable } from './unreplayable.ts';

export interface StuckDeliveriesDeps {
  deliveries: Pick<DeliveryQueue, 'stuck' | 'releaseOthers'>;
  /** Identifies this process in the leases of its deliveries. */
  sender: string;
  db: Kysely<Tables>;
  engine: Engine;
  logger: Logger;
  now: () => number;
  isOnlyWorker: boolean;
}

type Stuck = { sessionId: string } | { webhookId: string };

const idOf = (stuck: Stuck): string => ('sessionId' in stuck ? stuck.sessionId : stuck.webhookId);

/** A backlog in progress stays due for long, so its sender is signalled at most this often. */
function createToldLately(now: () => number) {
  const until = new Map<string, number>();
  return (id: string): boolean => {
    for (const [each, untilMs] of until) if (untilMs <= now()) until.delete(each);
    if (until.has(id)) return true;
    until.set(id, now() + CHECK_EVERY_MS);
    return false;
  };
}

export function stuckDeliveries(deps: StuckDeliveriesDeps): Look<Stuck> {
  const { deliveries, sender, db, engine, now, isOnlyWorker } = deps;
  const endUnreplayable = createEndUnreplayable(deps);
  const wasToldLately = createToldLately(now);

  async function tellSession(id: string): Promise<void> {
    const session = await db.selectFrom('sessions').selectAll().where('id', '=', id).executeTakeFirst();
    if (!session) return;
    await endUnreplayable(id);
    await engine.signal('deliver', engineSession(session), {});
  }

  return {
    async find(everything) {
      if (everything && isOnlyWorker) await deliveries.releaseOthers(sender);
      const { sessionIds, webhookIds } = await deliveries.stuck(lostBefore(everything, deps));
      const stuck: Stuck[] = [
        ...sessionIds.map((sessionId) => ({ sessionId })),
        ...webhookIds.map((webhookId) => ({ webhookId })),
      ];
      return stuck.filter((each) => !wasToldLately(idOf(each)));
    },
    help: (stuck) => ('sessionId' in stuck ? tellSession(stuck.sessionId) : engine.endpoint(stuck.webhookId)),
  };
}
