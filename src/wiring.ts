// The composition root: config in, a system that can be started and stopped out. The only place that knows every room.
import { Client } from '@temporalio/client';
import type { Express } from 'express';
import type { Logger } from 'pino';
import { createActivities } from '../activities/index.ts';
import { createEventFeed } from './events/event-feed.ts';
import { createLiveChannel } from './events/live-channel.ts';
import { createApp } from './http/app.ts';
import { randomText } from './ids.ts';
import type { Catalogue } from './models/catalogue.ts';
import type { Model } from './models/port.ts';
import { type ApiKeys, createApiKeys } from './services/api-keys.ts';
import { createEvents } from './services/events.ts';
import { createHealth } from './services/health.ts';
import { createOnce } from './services/idempotency.ts';
import { createMessages } from './services/messages/index.ts';
import { createMessageReader } from './services/messages/reader.ts';
import { createModels } from './services/models.ts';
import type { Services } from './services/ports.ts';
import { createSessions } from './services/sessions/index.ts';
import { createSignals } from './services/signals.ts';
import { createSweep } from './services/sweep/index.ts';
import { createAccessStore } from './stores/access.ts';
import { createSessionLog } from './stores/log.ts';
import { createMessageRows } from './stores/message-rows.ts';
import { migrate } from './stores/migrate.ts';
import { openStore } from './stores/open.ts';
import { createSessionsStore } from './stores/sessions.ts';
import { connectTemporal, type TemporalAddress } from './temporal/connection.ts';
import { ensureSearchAttributes } from './temporal/search-attributes.ts';
import { createSessionGateway } from './temporal/session-gateway.ts';
import { type SessionWorker, startSessionWorker } from './temporal/worker.ts';
import { createToolRegistry } from './tools/registry.ts';
import { createTurns } from './turns/index.ts';
import { createSessionView } from './views/sessions.ts';

export interface SystemOptions {
  /** A `postgres://` address, or the file of a SQLite database. */
  database: string;
  temporal: {
    connection: TemporalAddress;
    namespace: string;
    taskQueue: string;
    /** Where people see Temporal, if anywhere. */
    uiUrl: string | null;
    bundlePath: string;
    turnsPerRunMax?: number;
  };
  model: Model;
  catalogue: Catalogue;
  /** Pepper of key hashes, and what cursors are signed with. */
  secretKey: string;
  version: string;
  /** No other process works on this data: what an earlier one had under way is taken over at once. */
  isOnlyWorker: boolean;
  settings: {
    syncWaitMs: number;
    rateLimitPerMinute: number;
    trustedProxies: string[];
    showPreviews: boolean;
    sweepIntervalMs?: number;
  };
  log: Logger;
  now?: () => number;
}

export interface System {
  app: Express;
  services: Services;
  apiKeys: ApiKeys;
  /** Begins to work on sessions: the worker, then the sweep. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Opens the store, connects to Temporal and wires every room. Nothing listens and nothing works yet. */
export async function createSystem(options: SystemOptions): Promise<System> {
  const { log: logger, catalogue, model, secretKey, settings, temporal: where } = options;
  const now = options.now ?? Date.now;
  const { showPreviews, syncWaitMs } = settings;

  const store = openStore(options.database, logger);
  const { db } = store;
  await migrate(db);
  const channel = createLiveChannel();
  const log = createSessionLog({ store, now, committed: channel.publish });
  const sessions = createSessionsStore(db);
  const feed = createEventFeed({ log, channel });
  const sessionView = createSessionView({ catalogue, tools: createToolRegistry() });
  const turns = createTurns({ log, catalogue, sessionView });

  const temporal = await connectTemporal(where.connection, logger);
  await ensureSearchAttributes(temporal.connection, where.namespace);
  const client = new Client({ connection: temporal.connection, namespace: where.namespace });
  const engine = createSessionGateway({ ...where, client, temporal });
  const signals = createSignals({ engine, db, log: logger, now });

  const accept = { catalogue, showPreviews };
  const shared = { db, log, sessions, engine, signals, once: createOnce({ db, now }), now, ...accept };
  const messages = createMessages({ ...shared, channel, feed, syncWaitMs });
  const apiKeys = createApiKeys({ ...shared, access: createAccessStore(store), secretKey });
  let worker: SessionWorker | undefined;
  const services: Services = {
    sessions: createSessions({ ...shared, reader: createMessageReader(db), turns, sessionView }),
    messages,
    events: createEvents({ log, sessions }),
    apiKeys,
    models: createModels(catalogue),
    health: createHealth({ db, temporal, worker: () => worker?.health() }),
  };
  const app = createApp({
    services,
    log: logger,
    settings: {
      ...settings,
      version: options.version,
      cursorSecret: Buffer.from(secretKey),
      syncWaitSeconds: syncWaitMs / 1_000,
    },
  });
  const identity = `worker-${randomText(12)}`;
  const sweep = createSweep({
    ...shared,
    store,
    logger,
    worker: identity,
    isOnlyWorker: options.isOnlyWorker,
    intervalMs: settings.sweepIntervalMs,
  });
  const activities = createActivities({
    model,
    turns,
    log,
    messages: createMessageRows(db),
    catalogue,
    showPreviews,
    worker: identity,
    isUnderWay: engine.isUnderWay,
  });

  return {
    app,
    services,
    apiKeys,
    async start() {
      worker = await startSessionWorker({ ...where, identity, activities, log: logger });
      sweep.start();
    },
    async stop() {
      await sweep.stop();
      await worker?.stop();
      await temporal.close().then(signals.flush);
      await db.destroy();
    },
  };
}
