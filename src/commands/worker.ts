// `openclaw worker`: runs sessions. Any number of these processes run side by side. Over HTTP each serves only its health probes.
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
  const { model, name: modelName } = await startModel(config, catalogue, cleanup);
  const system = await createWorkerSystem({
    database,
    redisUrl: config.redisUrl,
    temporal: { ...temporal, bundlePath: WORKFLOW_BUNDLE },
    model,
    catalogue,
    secretKey,
    webhookTargets: config.egressAllow,
    // Other workers may run now, so only an expired lease shows that an attempt's worker is dead.
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

/** @returns the exit code, after the process has stopped. */
export const worker = (config: Config): Promise<number> => runUntilStopped(config, start);
