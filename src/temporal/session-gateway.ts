// The only access to session workflows: implements the services' `Engine` on Temporal.
import type { Client } from '@temporalio/client';
import { type RunBounds, SIGNALS, workflowId } from '../../workflows/protocol.ts';
import { ApiError } from '../contracts/errors.ts';
import type { Engine } from '../services/engine.ts';
import type { TemporalConnection } from './connection.ts';
import { createSessionAttempts } from './session-attempts.ts';
import { createSessionErasure } from './session-erasure.ts';
import { createSessionQuery } from './session-query.ts';
import { createSessionStart } from './session-start.ts';
import { createSessionTakeover } from './session-takeover.ts';
import { createUnreplayableRun } from './unreplayable-run.ts';
import { createEndpointSignal } from './webhook-endpoint.ts';

export interface GatewayDeps {
  client: Client;
  temporal: TemporalConnection;
  taskQueue: string;
  namespace: string;
  /** The Temporal UI's address, if there is a UI. */
  uiUrl: string | null;
  /** For tests of continue-as-new. */
  runBounds?: Partial<RunBounds> | undefined;
}

export function createSessionGateway(deps: GatewayDeps): Engine {
  const { temporal, namespace, uiUrl } = deps;
  const { start, signal } = createSessionStart(deps);

  return {
    requireAvailable() {
      if (temporal.health().ok) return;
      throw new ApiError('unavailable', 'Temporal is away; nothing was accepted, try again', {
        retryAfterSeconds: 1,
      });
    },
    start,
    signal: (name, session, argument) => signal(session, SIGNALS[name], argument),
    endpoint: createEndpointSignal(deps),
    ...createSessionQuery({ ...deps, start }),
    ...createSessionAttempts(deps),
    ...createSessionTakeover(deps),
    ...createUnreplayableRun(deps),
    ...createSessionErasure(deps),
    urlOf(sessionId, runId) {
      if (uiUrl === null) return null;
      const page = `${uiUrl}/namespaces/${namespace}/workflows/${workflowId(sessionId)}`;
      // The UI has no address for a tab of the latest run.
      return runId === undefined ? page : `${page}/${runId}/user-metadata`;
    },
  };
}
