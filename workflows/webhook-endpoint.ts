// The workflow of one webhook's endpoint: sends what could not be sent at once, when each delivery's time has come. It holds
// no delivery: the rows do, and each round reads what is due.
import * as wf from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { DELIVERIES } from './activity-options.ts';
import { type EndpointInput, SIGNALS, webhooksTaskQueue } from './protocol.ts';

const webhooks = wf.proxyActivities<Pick<Activities, 'deliverBacklog'>>(DELIVERIES);

/** An endpoint may be away for days; a run of this length is replayed in a moment. */
const ROUNDS_PER_RUN_MAX = 200;

/** Ends when nothing is left to be sent; whoever leaves it something more starts it again. */
export async function webhookEndpoint({ webhookId }: EndpointInput): Promise<void> {
  // Whoever has signalled may have written since the last look.
  let isTold = false;
  wf.setHandler(wf.defineSignal(SIGNALS.deliver), () => {
    isTold = true;
  });
  const taskQueue = webhooksTaskQueue(wf.workflowInfo().taskQueue);
  for (let round = 1; ; round += 1) {
    isTold = false;
    const { nextAtMs } = await webhooks.deliverBacklog.executeWithOptions({ taskQueue }, [{ webhookId }]);
    // No await lies between this look and the end of the run: no signal can fall in between.
    if (nextAtMs === null && !isTold) return;
    if (round >= ROUNDS_PER_RUN_MAX || wf.workflowInfo().continueAsNewSuggested)
      await wf.continueAsNew<typeof webhookEndpoint>({ webhookId });
    if (nextAtMs !== null) await wf.condition(() => isTold, Math.max(nextAtMs - Date.now(), 1));
  }
}
