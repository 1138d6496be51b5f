// Signals the workflow of a webhook's endpoint that deliveries are due, and starts it if necessary.
import type { Client } from '@temporalio/client';
import {
  ENDPOINT_WORKFLOW_TYPE,
  type EndpointInput,
  endpointWorkflowId,
  SIGNALS,
} from '../../workflows/protocol.ts';
import type { TemporalConnection } from './connection.ts';

/** As for sessions: after this time Temporal gives a killed worker's task to another worker. */
const TASK_TIMEOUT = '5 seconds';

export interface EndpointSignalDeps {
  client: Client;
  temporal: TemporalConnection;
  taskQueue: string;
}

export const createEndpointSignal =
  ({ client, temporal, taskQueue }: EndpointSignalDeps) =>
  async (webhookId: string): Promise<void> => {
    const input: EndpointInput = { webhookId };
    await temporal.call(() =>
      client.workflow.signalWithStart(ENDPOINT_WORKFLOW_TYPE, {
        workflowId: endpointWorkflowId(webhookId),
        taskQueue,
        args: [input],
        signal: SIGNALS.deliver,
        workflowTaskTimeout: TASK_TIMEOUT,
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        workflowIdConflictPolicy: 'USE_EXISTING',
        staticSummary: `Deliveries of webhook ${webhookId}`,
      }),
    );
  };
