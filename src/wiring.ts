// The composition root: takes a configuration and returns a process to start and stop. Together with `wiring/`, the only place
// that knows every room.
import type { Express } from 'express';
import { createProbeApp } from './http/app.ts';
import type { ApiKeys } from './services/api-keys.ts';
import { createHealth } from './services/health.ts';
import type { Services } from './services/ports.ts';
import { createPollerCheck } from './temporal/pollers.ts';
import { createApi } from './wiring/api.ts';
import { openCore } from './wiring/core.ts';
import type { ApiOptions, SystemOptions, WorkOptions } from './wiring/options.ts';
import { createWork } from './wiring/work.ts';

export type { SystemOptions } from './wiring/options.ts';

/** Before `start` it neither listens nor works. */
interface Running {
  app: Express;
  /** Begins to run sessions, if this process does. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface System extends Running {
  services: Services;
  apiKeys: ApiKeys;
}

/** `dev`: everything in one process. */
export async function createSystem(options: SystemOptions): Promise<System> {
  const core = await openCore(options);
  const work = createWork(core, options);
  const api = createApi(core, options, createHealth({ ...core, workers: work.health }));
  const stop = () => work.stop().then(core.close);
  return { ...api, start: work.start, stop };
}

/** `api`: answers HTTP. Workers process the accepted messages. */
export async function createApiSystem(options: ApiOptions): Promise<System> {
  const core = await openCore(options);
  const workers = createPollerCheck({ ...core, ...options.temporal });
  const api = createApi(core, options, createHealth({ ...core, workers }));
  return { ...api, start: async () => undefined, stop: core.close };
}

/** `worker`: processes accepted messages, and serves its health probes. */
export async function createWorkerSystem(options: WorkOptions): Promise<Running> {
  const core = await openCore(options);
  const work = createWork(core, options);
  const health = createHealth({ ...core, workers: work.health });
  const app = createProbeApp({ services: { health }, log: core.logger });
  return { app, start: work.start, stop: () => work.stop().then(core.close) };
}
