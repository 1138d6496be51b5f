// The real system in this process: a real database, the run's real Temporal server, and the simulator as its model.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { LOOPBACK } from '../../src/egress/allow-list.ts';
import { type HttpServer, listen } from '../../src/http/server.ts';
import { randomText } from '../../src/ids.ts';
import { createAnthropicModel } from '../../src/models/anthropic.ts';
import { createCatalogue } from '../../src/models/catalogue.ts';
import type { Model } from '../../src/models/port.ts';
import { type Simulator, startSimulator } from '../../src/models/simulator.ts';
import { createSystem, type System, type SystemOptions } from '../../src/wiring.ts';
import type { RunBounds } from '../../workflows/protocol.ts';
import { type ApiClient, createApiClient } from './api-client.ts';
import { newDatabase } from './database.ts';
import { localNames } from './names.ts';
import { readRunFile } from './run-file.ts';

export interface TestSystem {
  url: string;
  adminKey: string;
  api: ApiClient;
  system: System;
  simulator: Simulator;
  directory: string;
  taskQueue: string;
  /** A client of another account, or with another level. */
  as(account: string, level: 'read-only' | 'standard' | 'admin'): Promise<ApiClient>;
  /** Stops the system and starts another one on the same data. */
  restart(whileStopped?: () => void): Promise<void>;
  stop(): Promise<void>;
}

export interface TestSystemOptions {
  settings?: Partial<SystemOptions['settings']>;
  runBounds?: Partial<RunBounds>;
  /** An address of another Temporal server than the run's. */
  temporalAddress?: string;
  /** Do not start worker and sweep. */
  idle?: boolean;
  now?: () => number;
  /** Instead of the simulator behind the real adapter. */
  model?: Model;
  /** Instead of a new one of the kind that the run asks for. */
  database?: string;
}

export async function startTestSystem(options: TestSystemOptions = {}): Promise<TestSystem> {
  const run = readRunFile();
  const directory = mkdtempSync(join(tmpdir(), 'openclaw-system-'));
  const database = options.database ?? (await newDatabase(directory));
  const simulator = await startSimulator({ echoOnly: true, tokenMs: 0 });
  const adapter = createAnthropicModel({ apiKey: 'test', baseUrl: simulator.url });
  const taskQueue = `test-${randomText(12)}`;
  const secretKey = randomText(32);
  let system: System;
  let server: HttpServer;

  async function open(): Promise<void> {
    system = await createSystem({
      database,
      redisUrl: null,
      temporal: {
        connection: { address: options.temporalAddress ?? run.address },
        namespace: 'default',
        taskQueue,
        uiUrl: null,
        bundlePath: run.bundlePath,
        runBounds: options.runBounds,
      },
      model: options.model ?? adapter,
      catalogue: createCatalogue(),
      secretKey,
      webhookTargets: LOOPBACK,
      resolveName: localNames,
      version: 'test',
      isOnlyWorker: true,
      settings: {
        syncWaitMs: 20_000,
        rateLimitPerMinute: 1_000_000,
        trustedProxies: [],
        corsOrigins: [],
        showPreviews: true,
        sweepIntervalMs: 200,
        ...options.settings,
      },
      log: pino({ level: process.env.TEST_LOG ?? 'fatal' }),
      ...(options.now ? { now: options.now } : {}),
    });
    if (!options.idle) await system.start();
    server = await listen(system.app, { host: '127.0.0.1', port: server?.port ?? 0 });
  }

  async function close(): Promise<void> {
    await server.close();
    await system.stop();
  }

  await open();
  const adminKey = await system!.apiKeys.createForAccount('test', 'admin');
  const url = server!.url;
  return {
    url,
    adminKey,
    api: createApiClient(url, adminKey),
    get system() {
      return system;
    },
    simulator,
    directory,
    taskQueue,
    as: async (account, level) => createApiClient(url, await system.apiKeys.createForAccount(account, level)),
    async restart(whileStopped) {
      await close();
      whileStopped?.();
      await open();
    },
    async stop() {
      await close();
      await adapter.close();
      await simulator.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
