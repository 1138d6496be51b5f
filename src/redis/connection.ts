// The way to Redis: hints between processes, and counts that they share. Everything works without it, only less well, so
// nothing here waits for it longer than a moment, and nothing fails because of it.
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { randomText } from '../ids.ts';

/** A process hears its own beat through Redis, so one beat proves both connections and the subscription. */
const BEAT_EVERY_MS = 1_000;
/** What does not answer within this is done without; nobody's call takes longer because of Redis. */
const ANSWER_MS_MAX = 100;
/** A start waits so long for the first beat, so that its first calls are already counted together. */
const START_MS_MAX = 2_000;
/** An outage of so many beats is told; a moment's slowness is not. */
const BEATS_UNTIL_TOLD = 2;
const RETRY_MS_MAX = 1_000;
/** Of a handshake: a server that is stopped still has its system accept connections. */
const COMMAND_TIMEOUT_MS = 1_000;

/** Called with each text; with null when from now on nothing is missed, which may follow a gap. */
export type RedisListener = (text: string | null) => void;

export interface RedisConnection {
  /** Whether it has just answered, and in time. While it has not, it is not asked. */
  isLive(): boolean;
  /** The client for commands; use it within `ask`. */
  commands: Redis;
  /** @returns undefined when Redis has failed or does not answer in time; it is not live from then on. */
  ask<T>(work: Promise<T>): Promise<T | undefined>;
  /** Says it to all subscribers, if Redis is live. */
  publish(channel: string, text: string): void;
  /** One listener a channel. @returns the end of the subscription. */
  subscribe(channel: string, listener: RedisListener): () => void;
  close(): void;
}

function createClient(url: string): Redis {
  return new Redis(url, {
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: COMMAND_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(times * 100, RETRY_MS_MAX),
    // What could not be said in time is not worth saying later.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // Subscriptions are kept here: they may change while the connection is down.
    autoResubscribe: false,
    disconnectTimeout: ANSWER_MS_MAX,
    // Understood by every server and proxy of the last ten years.
    protocol: 2,
  });
}

/** Host, port and database, without the user and password. */
function nameOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname === '/' ? '' : pathname}`;
}

/** The error itself stays out of the log: a refused AUTH carries its password. */
const wordsOf = (error: unknown): string =>
  error instanceof Error ? error.message || error.name : String(error);

/** Tells of an outage and of its end, once each. */
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

/** Listeners by channel, kept through every reconnection. */
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

  /** A failure ends in a closed connection or a late beat, and both in `listenToAll` again. */
  const ignored = () => undefined;
  /** Also while `listenToAll` is under way, which knows of none that come and go meanwhile: Redis is told in order. */
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

/** Waits for an answer, but not long. What has come while this process was busy elsewhere is in time. */
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
  /** Sends a beat, which is heard again as a call of `heard`; false when there is no way for it now. */
  send(): boolean;
  /** Called each time that it becomes live. */
  onLive(): void;
  /** Called whenever a beat is due. One that answers beats and fails at all else is not live then, either. */
  onDue(state: { live: boolean; reason: string }): void;
}

/** Knows from beats whether Redis can be used now. */
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
    // A connection that is open and silent may be so for ever: its other end can have vanished.
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
  // Not at once: an answer that came while this process was busy is read first.
  const timer = setInterval(() => setImmediate(due), BEAT_EVERY_MS);
  timer.unref();
  return { isLive: () => live, fail, beat, heard, stop: () => clearInterval(timer) };
}

/** Resolves when Redis is live, or after a while without it. Reconnects by itself, for ever. */
export async function connectRedis(url: string, log: Logger): Promise<RedisConnection> {
  const commands = createClient(url);
  // A subscribed connection can't do anything else.
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
