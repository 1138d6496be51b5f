// `openclaw api`: answers HTTP. Any number of these processes run side by side. Workers process the accepted work.
import type { Config } from '../config.ts';
import { assertPortFree, listen } from '../http/server.ts';
import { createApiSystem } from '../wiring.ts';
import { deploymentOf } from './deployment.ts';
import { checkGivenKey, firstKeyOfDeployment } from './first-key.ts';
import { runUntilStopped, type Start } from './lifecycle.ts';
import { readCatalogue } from './model.ts';
import { packageVersion } from './paths.ts';
import { apiReadyText } from './ready-text.ts';

async function start({ config, log, cleanup }: Start): Promise<string> {
  const deployment = deploymentOf('api', config);
  checkGivenKey(config);
  const catalogue = readCatalogue(config);
  await assertPortFree(config);
  const system = await createApiSystem({
    ...deployment,
    redisUrl: config.redisUrl,
    catalogue,
    webhookTargets: config.egressAllow,
    version: packageVersion(),
    settings: config,
    log,
  });
  cleanup.add('the system', system.stop);
  const { warning } = await firstKeyOfDeployment(config, system.apiKeys);
  if (warning) log.warn(warning);
  await system.start();
  const server = await listen(system.app, config);
  cleanup.add('the HTTP server', server.close);
  return apiReadyText(server.url);
}

/** @returns the exit code, after the process has stopped. */
export const api = (config: Config): Promise<number> => runUntilStopped(config, start);
