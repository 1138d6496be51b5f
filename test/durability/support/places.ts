// The product in both of its forms, for tests that kill every process of it.
import type { ApiClient } from '../../support/api-client.ts';
import { type Deployment, startDeployment } from '../../support/deployment.ts';
import { findPostgres } from '../../support/postgres.ts';
import { startDev } from './dev-installation.ts';

export interface Place {
  api(): ApiClient;
  /** kill -9 of every process, and a start of each. Resolves when all serve. */
  killAll(): Promise<void>;
  stop(): Promise<void>;
}

const postgres = findPostgres();

async function startDevPlace(): Promise<Place> {
  const dev = await startDev();
  return {
    api: dev.api,
    async killAll() {
      await Promise.all(dev.parts.map((part) => part.kill()));
      await dev.start();
      await dev.untilReady();
    },
    stop: dev.stop,
  };
}

async function startDeploymentPlace(): Promise<Place> {
  const shared: Deployment = await startDeployment({ apis: 2, workers: 1 });
  return {
    api: shared.api,
    async killAll() {
      await Promise.all(shared.parts.map((part) => part.kill()));
      await Promise.all(shared.parts.map((part) => part.revive()));
      await shared.untilReady();
    },
    stop: shared.stop,
  };
}

export const places = {
  'dev on SQLite': { start: startDevPlace, obstacle: null },
  'two api and a worker process on PostgreSQL': {
    start: startDeploymentPlace,
    obstacle: postgres ? null : 'PostgreSQL is not installed',
  },
};
