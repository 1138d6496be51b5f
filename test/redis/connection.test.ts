// The connection to a real Redis: live, away, hung, back again; told once, and never waited for.
import { createServer } from 'node:http';
import { pino } from 'pino';
import { connectRedis, type RedisConnection } from '../../src/redis/connection.ts';
import { createSharedCounter } from '../../src/redis/counter.ts';
import { eventually } from '../support/api-client.ts';
import { freePort } from '../support/ports.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

/** 100 ms, and what a busy machine adds. */
const ANSWER_MS_MAX = 400;

let redis: TestRedis;
const open: RedisConnection[] = [];
const lines: any[] = [];
const log = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) });

beforeEach(async () => {
  redis = await startRedis();
  lines.length = 0;
});
afterEach(async () => {
  for (const connection of open.splice(0)) connection.close();
  redis.process.kill('SIGCONT');
  await redis.stop();
});

async function connected(url = redis.url): Promise<RedisConnection> {
  const connection = await connectRedis(url, log);
  open.push(connection);
  return connection;
}

const until = (condition: () => boolean) => eventually(async () => condition(), Boolean);
const told = (text: RegExp) => lines.filter(({ msg }) => text.test(msg));

/** Takes down what is said on a channel, once it is heard. */
async function listening(connection: RedisConnection, channel: string) {
  const heard: (string | null)[] = [];
  const leave = connection.subscribe(channel, (text) => heard.push(text));
  await until(() => heard.includes(null));
  return { heard, leave };
}

it('is live when a start has waited for it, and what one process says the others hear', async () => {
  const [one, two] = [await connected(), await connected()];
  expect([one.isLive(), two.isLive()]).toEqual([true, true]);
  const { heard, leave } = await listening(two, 'a');
  one.publish('b', 'for nobody');
  one.publish('a', 'first');
  one.publish('a', 'second');
  await until(() => heard.length === 3);
  expect(heard).toEqual([null, 'first', 'second']);
  leave();
  expect(lines).toEqual([]);
});

it('is told once when it goes and once when it is back, and its listeners hear again, also new ones', async () => {
  const [one, two] = [await connected(), await connected()];
  const early = await listening(two, 'early');
  await redis.kill();
  await until(() => !one.isLive() && !two.isLive());
  one.publish('early', 'lost');
  const late: (string | null)[] = [];
  two.subscribe('late', (text) => late.push(text));
  await until(() => told(/Redis is away/).length === 2);
  // One that begins now is told of after as many beats as would tell of the first two again.
  await connected();
  await until(() => told(/Redis is away/).length === 3);
  expect(told(/Redis is away/)[0]).toMatchObject({ redis: `127.0.0.1:${redis.port}`, level: 40 });
  await redis.start();
  await until(() => one.isLive() && two.isLive());
  await until(() => told(/Redis is back/).length === 3);
  for (const channel of ['early', 'late']) one.publish(channel, 'said again');
  await until(() => early.heard.length === 3 && late.length === 2);
  expect([early.heard, late]).toEqual([
    [null, null, 'said again'],
    [null, 'said again'],
  ]);
});

it('hears also channels that are added just as it comes back', async () => {
  const [speaker, listener] = [await connected(), await connected()];
  await redis.kill();
  await until(() => !speaker.isLive() && !listener.isLive());
  await redis.start();
  const heard = new Map<string, (string | null)[]>();
  for (let count = 0; !listener.isLive(); count += 1) {
    const texts: (string | null)[] = [];
    listener.subscribe(`channel ${count}`, (text) => texts.push(text));
    heard.set(`channel ${count}`, texts);
    await new Promise(setImmediate);
  }
  await until(speaker.isLive);
  for (const channel of heard.keys()) speaker.publish(channel, channel);
  const missed = () => [...heard].filter(([channel, texts]) => !texts.includes(channel));
  await until(() => missed().length === 0);
});

it('that hangs costs a call at most a tenth of a second, the next ones nothing, and comes back by itself', async () => {
  const connection = await connected();
  const count = createSharedCounter(connection);
  expect(await count('a')).toMatchObject({ used: 1 });
  redis.process.kill('SIGSTOP');
  const times: number[] = [];
  for (let call = 0; call < 50; call += 1) {
    const from = performance.now();
    expect(await count('a')).toBeUndefined();
    times.push(performance.now() - from);
  }
  expect(Math.max(...times)).toBeLessThan(ANSWER_MS_MAX);
  expect(times.filter((ms) => ms > 50)).toHaveLength(1);
  await until(() => told(/Redis is away/).length === 1);
  expect(connection.isLive()).toBe(false);
  redis.process.kill('SIGCONT');
  await until(connection.isLive);
  expect((await count('a'))?.used).toBeGreaterThan(1);
});

it('that is not there when a process starts is told, waited for only a moment, and used when it comes', async () => {
  await redis.kill();
  const from = performance.now();
  const connection = await connected();
  expect(performance.now() - from).toBeLessThan(4_000);
  expect(connection.isLive()).toBe(false);
  await until(() => told(/Redis is away/).length === 1);
  expect(told(/Redis is away/)[0].reason).toContain('ECONNREFUSED');
  await redis.start();
  await until(connection.isLive);
});

it('that refuses the password is told of without it', async () => {
  const guarded = await startRedis({ password: 'the-right-password' });
  const wrong = new URL(guarded.url);
  wrong.password = 'the-wrong-password';
  const connection = await connected(wrong.href);
  await until(() => told(/Redis is away/).length === 1);
  expect(told(/Redis is away/)[0].reason).toContain('WRONGPASS');
  expect(JSON.stringify(lines)).not.toContain('the-wrong-password');
  expect(connection.isLive()).toBe(false);
  expect((await connected(guarded.url)).isLive()).toBe(true);
  await guarded.stop();
});

it('that answers but counts nothing any more, for want of room, is told of', async () => {
  const connection = await connected();
  const count = createSharedCounter(connection);
  await connection.commands.config('SET', 'maxmemory', '1');
  const asked = async () => {
    await count('a');
    return told(/Redis is away/);
  };
  const [line] = await eventually(asked, ({ length }) => length === 1);
  expect(line.reason).toContain('OOM');
  await connection.commands.config('SET', 'maxmemory', '0');
  await until(() => told(/Redis is back/).length === 1);
  expect(await count('b')).toMatchObject({ used: 1 });
});

it('that is no Redis is never live', async () => {
  const port = await freePort();
  const other = createServer((_, res) => res.end('Hello'));
  await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
  const connection = await connected(`redis://127.0.0.1:${port}`);
  await until(() => told(/Redis is away/).length === 1);
  expect([connection.isLive(), await createSharedCounter(connection)('a')]).toEqual([false, undefined]);
  other.close();
});

describe('a shared count', () => {
  it('is one for all processes, and apart for each bucket', async () => {
    const counts = [createSharedCounter(await connected()), createSharedCounter(await connected())];
    const used: number[] = [];
    for (const count of [...counts, ...counts]) used.push((await count('a'))!.used);
    expect(used).toEqual([1, 2, 3, 4]);
    const { used: first, windowLeftMs } = (await counts[1]!('b'))!;
    expect([first, windowLeftMs > 59_000, windowLeftMs <= 60_000]).toEqual([1, true, true]);
  });
});
