// The Redis connection, for hints between processes and shared counts. Redis is optional: nothing waits long for Redis or fails
// because of it.
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { randomText } from '../ids.ts';

/** A process receives its own heartbeat through Redis, so one beat proves both connections and the subscription. */
const BEAT_EVERY_MS = 1_000;
/** Later answers are ignored, so that no request takes longer because of Redis. */
const ANSWER_MS_MAX = 100;
/** A start waits this long for the first beat, so that its first calls are already counted together. */
const START_MS_MAX = 2_000;
/** Outages of this many beats are logged. Shorter delays are not. */
const BEATS_UNTIL_TOLD = 2;
const RETRY_MS_MAX = 1_000;
/** Bounds the handshake: the operating system still accepts connections for a stopped server. */
const COMMAND_TIMEOUT_MS = 1_000;

/** Called with each text. Null means that nothing is missed from now on, possibly after a gap. */
export type RedisListener = (text: string | null) => void;

export interface RedisConnection {
  /** True if Redis has just answered in time. Otherwise callers skip Redis. */
  isLive(): boolean;
  /** The client for commands. Use only within `ask`. */
  commands: Redis;
  /** @returns undefined if Redis fails or doesn't answer in time. The connection isn't live from then on. */
  ask<T>(work: Promise<T>): Promise<T | undefined>;
  /** Publishes to all subscribers if Redis is live. */
  publish(channel: string, text: string): void;
  /** One listener per channel. @returns a function that ends the subscription. */
  subscribe(channel: string, listener: RedisListener): () => void;
  close(): void;
}

function createClient(url: string): Redis {
  return new Redis(url, {
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: COMMAND_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(times * 100, RETRY_MS_MAX),
    // Late commands are worthless, so none are queued or resent.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // `createSubscriptions` keeps the subscriptions, because they may change while the connection is down.
    autoResubscribe: false,
    disconnectTimeout: ANSWER_MS_MAX,
    // Supported by every server and proxy of the last ten years.
    protocol: 2,
  });
}

/** Host, port and database, without the user and password. */
function nameOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname === '/' ? '' : pathname}`;
}

/** Logs only the text, because the error of a refused AUTH carries its password. */
const wordsOf = (error: unknown): string =>
  error instanceof Error ? error.message || error.name : String(error);

/** Logs an outage and its end, once each. */
function createTeller(url: string, log: Logger) {
  const redis = nameOf(url);
  let beatsAway = 0;
  return {
    live(): void {
      if (beatsAway >= BEATS_UNTIL_TOLD) log.info({ redis }, 'Redis is back');
      beatsAway = 0;
    },
    away(reason: string): void {
      beatsAway += 1;
      if (beatsAway !== BEATS_UNTIL_TOLD) return;
      const meanwhile =
        'until it is back this process asks the store for changes, and counts calls for itself';
      log.warn({ redis, reason }, `Redis is away: ${meanwhile}`);
    },
  };
}

/** Listeners by channel, kept across reconnections. */
function createSubscriptions(client: Redis) {
  const listeners = new Map<string, RedisListener>();
  let areOn = false;

  const tell = (channels: string[]): void => {
    for (const channel of channels) listeners.get(channel)?.(null);
  };

  async function listenToAll(): Promise<void> {
    const channels = [...listeners.keys()];
    await client.subscribe(...channels);
    areOn = client.status === 'ready';
    tell(channels);
  }

  /** A failure ends in a closed connection or a late beat, and both lead to `listenToAll` again. */
  const ignored = () => undefined;
  /** True also while `listenToAll` runs without the latest changes. Redis receives all commands in order. */
  const isOpen = () => client.status === 'ready';
  client.on('ready', () => void listenToAll().catch(ignored));
  client.on('message', (channel: string, text: string) => listeners.get(channel)?.(text));
  client.on('close', () => {
    areOn = false;
  });
  return {
    areOn: () => areOn,
    add(channel: string, listener: RedisListener) {
      listeners.set(channel, listener);
      if (isOpen())
        void client
          .subscribe(channel)
          .then(() => tell([channel]))
          .catch(ignored);
      return () => {
        listeners.delete(channel);
        if (isOpen()) void client.unsubscribe(channel).catch(ignored);
      };
    },
  };
}

/** Waits briefly for an answer. Answers that arrived while this process was busy count as in time. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const fail = () => reject(new Error(`no answer within ${ANSWER_MS_MAX} ms`));
    timer = setTimeout(() => setImmediate(fail), ANSWER_MS_MAX);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

interface Pulse {
  clients: Redis[];
  /** Sends a beat, which returns as a call of `heard`. False without a usable connection. */
  send(): boolean;
  /** Called each time the connection becomes live. */
  onLive(): void;
  /** Called whenever a beat is due. A server that answers beats but fails at all else isn't live then, either. */
  onDue(state: { live: boolean; reason: string }): void;
}

/** Knows from heartbeats whether Redis is usable. */
function createPulse({ clients, send, onLive, onDue }: Pulse) {
  let live = false;
  let reason = 'not connected yet';
  let sentAt: number | undefined;

  function fail(error: unknown): void {
    live = false;
    reason = wordsOf(error);
  }

  function beat(): void {
    if (sentAt === undefined && send()) sentAt = performance.now();
  }

  function heard(): void {
    const isGood = sentAt !== undefined && performance.now() - sentAt <= ANSWER_MS_MAX;
    sentAt = undefined;
    if (!isGood || live) return;
    live = true;
    onLive();
  }

  function due(): void {
    // An open but silent connection may stay silent for ever, because its other end can have vanished.
    if (sentAt !== undefined) {
      fail(`no answer within ${BEAT_EVERY_MS} ms`);
      for (const client of clients) client.disconnect(true);
    }
    onDue({ live, reason });
    beat();
  }

  for (const client of clients)
    client
      .on('ready', beat)
      .on('error', fail)
      .on('close', () => {
        if (live) fail('the connection was closed');
        sentAt = undefined;
      });
  // Deferred, so that answers received while this process was busy are read first.
  const timer = setInterval(() => setImmediate(due), BEAT_EVERY_MS);
  timer.unref();
  return { isLive: () => live, fail, beat, heard, stop: () => clearInterval(timer) };
}

/** Resolves when Redis is live, or after 2 s without Redis. Reconnects by itself, for ever. */
export async function connectRedis(url: string, log: Logger): Promise<RedisConnection> {
  const commands = createClient(url);
  // A subscribed connection can't run other commands.
  const subscriber = createClient(url);
  const clients = [commands, subscriber];
  const subscriptions = createSubscriptions(subscriber);
  const say = (channel: string, text: string) => void commands.publish(channel, text).catch(() => undefined);
  const teller = createTeller(url, log);
  const ownBeat = `openclaw:beat:${randomText(16)}`;
  let started = () => {};
  const pulse = createPulse({
    clients,
    send() {
      const hasWay = commands.status === 'ready' && subscriptions.areOn();
      if (hasWay) say(ownBeat, '');
      return hasWay;
    },
    onLive: () => started(),
    onDue: ({ live, reason }) => (live ? teller.live() : teller.away(reason)),
  });
  subscriptions.add(ownBeat, (text) => (text === null ? pulse.beat() : pulse.heard()));
  await new Promise<void>((resolve) => {
    started = resolve;
    setTimeout(resolve, START_MS_MAX).unref();
  });
  return {
    isLive: pulse.isLive,
    commands,
    async ask(work) {
      try {
        return await inTime(work);
      } catch (error) {
        pulse.fail(error);
        return undefined;
      }
    },
    publish(channel, text) {
      if (pulse.isLive()) say(channel, text);
    },
    subscribe: subscriptions.add,
    close() {
      pulse.stop();
      for (const client of clients) client.disconnect();
    },
  };
}
