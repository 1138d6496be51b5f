// The rules and the store over a real database, without HTTP and without Temporal.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { SessionEvent } from '../../src/contracts/events.ts';
import type { CreateMessage } from '../../src/contracts/messages.ts';
import type { CreateSession, UpdateSession } from '../../src/contracts/sessions.ts';
import type { CreateWebhook, Delivery, WebhookWithSecret } from '../../src/contracts/webhooks.ts';
import { LOOPBACK } from '../../src/egress/allow-list.ts';
import { createEventFeed } from '../../src/events/event-feed.ts';
import { createLiveChannel, type LiveChannel } from '../../src/events/live-channel.ts';
import { newId } from '../../src/ids.ts';
import { createCatalogue } from '../../src/models/catalogue.ts';
import { ModelCallError, type ModelReply } from '../../src/models/port.ts';
import { createApiKeys } from '../../src/services/api-keys.ts';
import type { Engine } from '../../src/services/engine.ts';
import { createOnce } from '../../src/services/idempotency.ts';
import { createMessages } from '../../src/services/messages/index.ts';
import { createMessageReader } from '../../src/services/messages/reader.ts';
import { createOutbox } from '../../src/services/outbox.ts';
import type { AcceptedMessage, Caller, SessionsService } from '../../src/services/ports.ts';
import { createSessions } from '../../src/services/sessions/index.ts';
import { createSweep } from '../../src/services/sweep/index.ts';
import { createToolCalls } from '../../src/services/tool-calls/index.ts';
import { createDeliveries } from '../../src/services/webhooks/deliveries.ts';
import { createWebhooks } from '../../src/services/webhooks/index.ts';
import { createAccessStore } from '../../src/stores/access.ts';
import { createSessionLog } from '../../src/stores/log.ts';
import { createMessageRows } from '../../src/stores/message-rows.ts';
import { migrate } from '../../src/stores/migrate.ts';
import { openStore } from '../../src/stores/open.ts';
import { createOutboxStore } from '../../src/stores/outbox.ts';
import type { MessageRow, SessionRow } from '../../src/stores/schema.ts';
import { createSessionsStore } from '../../src/stores/sessions.ts';
import { createWebhooksStore } from '../../src/stores/webhooks.ts';
import { createSchemaChecker } from '../../src/tools/json-schema/checker.ts';
import { createToolRegistry } from '../../src/tools/registry.ts';
import type { Begun } from '../../src/turns/begin.ts';
import { createTurns } from '../../src/turns/index.ts';
import type { StepWriter } from '../../src/turns/step-writer.ts';
import { createSessionView } from '../../src/views/sessions.ts';
import { createWebhookSending } from '../../src/wiring/webhooks.ts';
import { newDatabase } from './database.ts';
import { localNames } from './names.ts';

export type TestStore = Awaited<ReturnType<typeof openTestStore>>;
export type OpenStep = Extract<Begun, { kind: 'open' }>;

export interface TestStoreOptions {
  /** An existing database; without it a new one in a directory of its own. */
  file?: string;
  now?: () => number;
  engine?: Partial<Engine>;
  account?: string;
  showPreviews?: boolean;
  /** Whose sweep it is: leases of other workers may be lost, its own are not. */
  worker?: string;
  isOnlyWorker?: boolean;
  /** Instead of one of its own. */
  channel?: LiveChannel;
}

const quiet = async () => undefined;

/** Temporal is there and takes everything, and nothing comes of it. */
const silentEngine: Engine = {
  requireAvailable: () => undefined,
  start: quiet,
  signal: quiet,
  endpoint: quiet,
  state: quiet,
  isRunning: async () => true,
  endUnreplayable: async () => false,
  isUnderWay: async () => true,
  failAttempt: async () => false,
  takeOver: quiet,
  endSilentAttempts: quiet,
  erase: async () => 'gone',
  urlOf: () => null,
};

const NO_TOKENS = { inputTokens: 0, outputTokens: 0, cacheCreationInputTokens: 0, cacheReadInputTokens: 0 };

/** What a model said, as its adapter gives it. */
export const replyOf = (text: string, usage: Partial<ModelReply['usage']> = {}): ModelReply => ({
  blocks: text === '' ? [] : [{ type: 'text', text }],
  stopReason: 'end_turn',
  model: 'claude-haiku-4-5',
  usage: { ...NO_TOKENS, ...usage },
});

/** A failed model call: one that may be tried again, unless said otherwise. */
export const failureOf = (
  details: Partial<ConstructorParameters<typeof ModelCallError>[1]> = {},
): ModelCallError =>
  new ModelCallError('The model answered 529 overloaded_error: Overloaded', {
    code: 'model_overloaded',
    retryable: true,
    status: 529,
    retryAfterMs: null,
    usage: NO_TOKENS,
    ...details,
  });

/** The same calls without an `Idempotency-Key`, which most tests have no use for. */
const withoutKeys = (sessions: SessionsService) => ({
  ...sessions,
  update: async (caller: Caller, id: string, body: UpdateSession) =>
    (await sessions.update(caller, id, body, null)).value,
  complete: async (caller: Caller, id: string) => (await sessions.complete(caller, id, null)).value,
  archive: async (caller: Caller, id: string) => (await sessions.archive(caller, id, null)).value,
  delete: async (caller: Caller, id: string) => (await sessions.delete(caller, id, null)).value,
  interrupt: async (caller: Caller, id: string) => (await sessions.interrupt(caller, id, null)).value,
});

/** The right to write that `begin` gave. */
export const writerOf = (open: OpenStep): StepWriter => ({
  sessionId: open.session.id,
  replyId: open.reply.id,
  step: open.step,
  fence: open.fence,
  callId: newId('mcall'),
  model: open.reply.model ?? open.session.model,
});

export async function openTestStore(options: TestStoreOptions = {}) {
  const { now = Date.now, account = 'test', showPreviews = true } = options;
  const directory = options.file ? null : mkdtempSync(join(tmpdir(), 'openclaw-store-'));
  const file = options.file ?? (await newDatabase(directory ?? ''));
  const logger = pino({ level: process.env.TEST_LOG ?? 'silent' });
  const store = openStore(file, logger);
  const { db } = store;
  await migrate(db);
  const catalogue = createCatalogue();
  const channel = options.channel ?? createLiveChannel();
  const engine = { ...silentEngine, ...options.engine };
  const sending = createWebhookSending({
    ...{
      store,
      logger,
      now,
      secretKey: 'pepper',
      webhookTargets: LOOPBACK,
      resolveName: localNames,
      endpointDue: engine.endpoint,
    },
  });
  const outboxRows = createOutboxStore(store);
  const outbox = createOutbox({ engine, rows: outboxRows, notifySender: sending.ring, log: logger });
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
  const accept = { catalogue, showPreviews, checker };
  const once = createOnce({ db, now });
  const shared = {
    db,
    log,
    sessions: createSessionsStore(db),
    engine,
    outbox,
    outboxRows,
    once,
    now,
    ...accept,
  };
  const messages = createMessages({ ...shared, channel, feed, syncWaitMs: 10_000 });
  const reader = createMessageReader(db);
  const toolCalls = createToolCalls({ ...shared, reader });
  const sessions = createSessions({
    ...shared,
    reader,
    turns,
    sessionView,
    channel,
    logger,
  });
  const sweep = createSweep({
    ...shared,
    store,
    logger,
    worker: options.worker ?? 'test',
    deliveries: sending.queue,
    sender: sending.sender,
    isOnlyWorker: options.isOnlyWorker ?? false,
  });
  const rows = createMessageRows(db);
  const access = createAccessStore(store);
  const apiKeys = createApiKeys({ access, secretKey: 'pepper', once, now });
  const webhookStore = createWebhooksStore(store);
  const { secrets } = sending;
  const webhooks = createWebhooks({ ...shared, ...sending, webhooks: webhookStore });
  const deliveries = createDeliveries({ ...shared, ...sending, webhooks: webhookStore });
  const accountId = await access.ensureAccount(account, now());
  const caller: Caller = { accountId, keyId: 'key_test', level: 'admin' };

  const sessionRow = (id: string): Promise<SessionRow> =>
    db.selectFrom('sessions').selectAll().where('id', '=', id).executeTakeFirstOrThrow();

  async function messageRow(id: string): Promise<MessageRow> {
    const row = await rows.get(id);
    if (!row) throw new Error(`No message ${id}`);
    return row;
  }

  return {
    ...{ file, store, db, log, channel, feed, turns, sweep, rows, catalogue, caller },
    ...{
      sessions: withoutKeys(sessions),
      services: { sessions, messages, apiKeys, toolCalls, webhooks, deliveries },
      webhookStore,
      secrets,
      messages,
      checker,
      registry,
    },
    ...{ sessionRow, messageRow, outbox, outboxRows, sending },

    async createSession(fields: Partial<CreateSession> = {}): Promise<string> {
      const { value } = await sessions.create(caller, { model: 'claude-haiku', ...fields }, null);
      return value.id;
    },

    async createWebhook(fields: Partial<CreateWebhook> = {}): Promise<WebhookWithSecret> {
      const body = { url: 'https://example.com/hook', events: ['*' as const], ...fields };
      return (await webhooks.create(caller, body, null)).value;
    },

    /** Everything that was queued for a webhook, oldest first. */
    async deliveriesOf(webhookId: string): Promise<Delivery[]> {
      const page = { limit: 1_000, order: 'asc' as const, after: null };
      return (await deliveries.list(caller, webhookId, {}, page)).data;
    },

    /** Accepts a message, as a POST does; nobody works on it. */
    async send(
      sessionId: string,
      content = 'Hello',
      fields: Partial<CreateMessage> = {},
    ): Promise<AcceptedMessage> {
      const { value } = await messages.accept(caller, sessionId, { content, ...fields }, null);
      return value;
    },

    /** Opens the model step of an accepted message. @throws when the store decides otherwise. */
    async open(message: AcceptedMessage, head: string | null): Promise<OpenStep> {
      const { sessionId, userMessageId: messageId } = message;
      const begun = await turns.begin({ sessionId, head, messageId, step: 1, mayBranch: true });
      if (begun.kind !== 'open') throw new Error(`Not opened but ${begun.kind}`);
      return begun;
    },

    /** Signals for a session that Temporal has not accepted yet, in no order. */
    async unsent(sessionId: string): Promise<string[]> {
      await outbox.flush();
      const rows = await db
        .selectFrom('outbox')
        .select('signal')
        .where('session_id', '=', sessionId)
        .execute();
      return rows.map(({ signal }) => signal);
    },

    /** A whole turn. @returns the reply's id, which is the new head. */
    async answer(message: AcceptedMessage, head: string | null, text = 'Hi'): Promise<string> {
      const writer = writerOf(await this.open(message, head));
      if (!(await turns.complete(writer, text, replyOf(text)))) throw new Error('The writer was refused');
      return message.replyId;
    },

    async events(sessionId: string): Promise<SessionEvent[]> {
      return log.read({ sessionId, after: 0, limit: 100_000 });
    },

    /** Log types of one message, in order. */
    async story(sessionId: string, messageId: string): Promise<string[]> {
      const events = await log.read({ sessionId, after: 0, limit: 100_000, messageId });
      return events.map((event) => event.type.replace(/^message\./, ''));
    },

    async close(): Promise<void> {
      await sweep.stop();
      await registry.close();
      await sending.close();
      await db.destroy();
      if (directory) rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** One row for each number, gap-free from 1: what every log must be. */
export const isGapFree = (events: SessionEvent[]): boolean =>
  events.every((event, index) => event.seq === index + 1);
