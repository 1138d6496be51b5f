// The workflow of one webhook endpoint. It sends each delivery of the backlog when due. The rows hold the deliveries,
// and each round reads the due rows.
import * as wf from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { DELIVERIES } from './activity-options.ts';
import { type EndpointInput, SIGNALS, webhooksTaskQueue } from './protocol.ts';

const webhooks = wf.proxyActivities<Pick<Activities, 'deliverBacklog'>>(DELIVERIES);

/** An endpoint may be unavailable for days. A run of this length replays quickly. */
const ROUNDS_PER_RUN_MAX = 200;

/** Ends when the backlog is empty. A sender that adds to the backlog starts the workflow again. */
export async function webhookEndpoint({ webhookId }: EndpointInput): Promise<void> {
  // A signal may announce rows written after the last read.
  let isTold = false;
  wf.setHandler(wf.defineSignal(SIGNALS.deliver), () => {
    isTold = true;
  });
  const taskQueue = webhooksTaskQueue(wf.workflowInfo().taskQueue);
  for (let round = 1; ; round += 1) {
    isTold = false;
    const { nextAtMs } = await webhooks.deliverBacklog.executeWithOptions({ taskQueue }, [{ webhookId }]);
    // No await lies between this check and the end of the run, so no signal can arrive in between.
    if (nextAtMs === null && !isTold) return;
    if (round >= ROUNDS_PER_RUN_MAX || wf.workflowInfo().continueAsNewSuggested)
      await wf.continueAsNew<typeof webhookEndpoint>({ webhookId });
    if (nextAtMs !== null) await wf.condition(() => isTold, Math.max(nextAtMs - Date.now(), 1));
  }
}
