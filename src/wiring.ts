// The composition root: config in, a process that can be started and stopped out. With `wiring/` the only place that knows
// every room.
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

/** Nothing listens and nothing works before `start`. */
interface Running {
  app: Express;
  /** Begins to work on sessions, if that is its business. */
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

/** `api`: answers HTTP; others work on what it accepts. */
export async function createApiSystem(options: ApiOptions): Promise<System> {
  const core = await openCore(options);
  const workers = createPollerCheck({ ...core, ...options.temporal });
  const api = createApi(core, options, createHealth({ ...core, workers }));
  return { ...api, start: async () => undefined, stop: core.close };
}

/** `worker`: works on what others accept, and answers its probes. */
export async function createWorkerSystem(options: WorkOptions): Promise<Running> {
  const core = await openCore(options);
  const work = createWork(core, options);
  const health = createHealth({ ...core, workers: work.health });
  const app = createProbeApp({ services: { health }, log: core.logger });
  return { app, start: work.start, stop: () => work.stop().then(core.close) };
}
