// `openclaw worker`: runs sessions. Any number of these run side by side; over HTTP it answers nothing but its probes.
import type { Config } from '../config.ts';
import { assertPortFree, listen } from '../http/server.ts';
import { createWorkerSystem } from '../wiring.ts';
import { deploymentOf } from './deployment.ts';
import { runUntilStopped, type Start } from './lifecycle.ts';
import { readCatalogue, startModel } from './model.ts';
import { WORKFLOW_BUNDLE } from './paths.ts';
import { workerReadyText } from './ready-text.ts';

async function start({ config, log, cleanup }: Start): Promise<string> {
  const { database, temporal, secretKey } = deploymentOf('worker', config);
  const catalogue = readCatalogue(config);
  await assertPortFree(config);
  const { model, name: modelName } = await startModel(config, cleanup);
  const system = await createWorkerSystem({
    database,
    redisUrl: config.redisUrl,
    temporal: { ...temporal, bundlePath: WORKFLOW_BUNDLE },
    model,
    catalogue,
    secretKey,
    webhookTargets: config.egressAllow,
    // Others may be working now: what a dead one had under way is known by its lease.
    isOnlyWorker: false,
    settings: config,
    log,
  });
  cleanup.add('the system', system.stop);
  await system.start();
  const server = await listen(system.app, config);
  cleanup.add('the HTTP server', server.close);
  return workerReadyText({ url: server.url, modelName, taskQueue: temporal.taskQueue });
}

/** @returns the exit code, when it has stopped. */
export const worker = (config: Config): Promise<number> => runUntilStopped(config, start);
