// The parts of every process: the store and its log, the connection to Temporal, the session engine.
import { Client } from '@temporalio/client';
import { createEventFeed } from '../events/event-feed.ts';
import { createLiveChannel } from '../events/live-channel.ts';
import { createPolledChannel } from '../events/polled-channel.ts';
import { connectRedis } from '../redis/connection.ts';
import { createRedisHints } from '../redis/hints.ts';
import { createOnce } from '../services/idempotency.ts';
import { createOutbox } from '../services/outbox.ts';
import { createSessionLog } from '../stores/log.ts';
import { migrateDatabase, openStore } from '../stores/open.ts';
import { createOutboxStore } from '../stores/outbox.ts';
import { assertSecret } from '../stores/secret-check.ts';
import { createSessionsStore } from '../stores/sessions.ts';
import { connectTemporal } from '../temporal/connection.ts';
import { ensureSearchAttributes } from '../temporal/search-attributes.ts';
import { createSessionGateway } from '../temporal/session-gateway.ts';
import { createSchemaChecker } from '../tools/json-schema/checker.ts';
import { createToolRegistry } from '../tools/registry.ts';
import { createTurns } from '../turns/index.ts';
import { createSessionView } from '../views/sessions.ts';
import type { CoreOptions } from './options.ts';
import { createWebhookSending } from './webhooks.ts';

export type Core = Awaited<ReturnType<typeof openCore>>;

/** Migrates the database, opens it and connects to Temporal. */
export async function openCore(options: CoreOptions) {
  const { log: logger, catalogue, temporal: where } = options;
  const { showPreviews } = options.settings;
  const now = options.now ?? Date.now;

  await migrateDatabase(options.database, logger);
  const store = openStore(options.database, logger);
  const { db } = store;
  await assertSecret(db, options.secretKey);
  const sessions = createSessionsStore(db);
  const redis = options.redisUrl === null ? null : await connectRedis(options.redisUrl, logger);
  // With SQLite no other process writes, so an in-process channel is enough.
  const inProcess = createLiveChannel();
  const channel =
    store.kind === 'sqlite'
      ? inProcess
      : createPolledChannel({
          channel: inProcess,
          seqsOf: sessions.seqsOf,
          hints: redis && createRedisHints(redis),
          log: logger,
        });
  const temporal = await connectTemporal(where.connection, logger);
  await ensureSearchAttributes(temporal.connection, where.namespace);
  const client = new Client({ connection: temporal.connection, namespace: where.namespace });
  const engine = createSessionGateway({ ...where, client, temporal });
  const webhooks = createWebhookSending({ ...options, store, logger, now, endpointDue: engine.endpoint });
  const outboxRows = createOutboxStore(store);
  const outbox = createOutbox({ engine, rows: outboxRows, notifySender: webhooks.ring, log: logger });
  const log = createSessionLog({
    ...{ store, now },
    committed(change) {
      channel.publish(change);
      outbox.dispatch(change);
    },
  });
  const feed = createEventFeed({ log, channel });
  const registry = createToolRegistry();
  const checker = createSchemaChecker();
  const sessionView = createSessionView({ catalogue, tools: registry });
  const turns = createTurns({ log, catalogue, sessionView });
  const once = createOnce({ db, now });

  return {
    ...{ store, db, redis, log, sessions, channel, feed, sessionView, turns, logger, now },
    ...{ temporal, engine, outbox, outboxRows, once, catalogue, showPreviews, registry, checker, webhooks },
    async close(): Promise<void> {
      outbox.flushDue();
      await temporal.close().then(outbox.flush);
      await registry.close();
      await webhooks.close();
      redis?.close();
      await db.destroy();
    },
  };
}
