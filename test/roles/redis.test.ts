// Two `api` processes and a worker with a Redis between them: what one commits the others hear at once, calls are counted
// together, and without Redis all of it goes on, only less well.
import { Redis } from 'ioredis';
import { type ApiClient, createApiClient, eventually } from '../support/api-client.ts';
import { ADMIN_KEY, type Deployment, startDeployment } from '../support/deployment.ts';
import { isLong, itLong } from '../support/long.ts';
import { cleanUp, type ServerProcess, startServer } from '../support/process.ts';
import { expectOneAnswer, expectPrefix, watch } from './turn.ts';

const WORDS = 60;
const SLOW_ANSWER = `[[tokens=${WORDS} token_ms=40]]`;
const LIMIT = 1_000;
/** ±1 % of the calls. */
const TOLERANCE = LIMIT / 100;
/** A call that finds Redis hanging waits 100 ms for it; the rest is a busy machine. */
const CALL_MS_MAX = 1_500;
const TEST_MS_MAX = 90_000;
/** So often it was, when it is killed: in the long run it has hung before. */
const TIMES_AWAY = isLong ? 2 : 1;

let deployment: Deployment;
let redis: Redis;
/** Beside the deployment's, with the limit that users have. */
let limited: ServerProcess[];
beforeAll(async () => {
  deployment = await startDeployment({ workers: 1, redis: true });
  redis = new Redis(deployment.redisUrl!);
  redis.on('error', () => undefined);
  const env = { ...deployment.env, OPENCLAW_RATE_LIMIT_PER_MINUTE: String(LIMIT) };
  limited = await Promise.all([startServer({ role: 'api', env }), startServer({ role: 'api', env })]);
}, TEST_MS_MAX);
afterAll(async () => {
  redis?.disconnect();
  deployment?.named('redis').signal('SIGCONT');
  await deployment?.stop();
  await cleanUp();
}, TEST_MS_MAX);

const note = (text: string): boolean => process.stdout.write(`${text}\n`);
const clients = () => deployment.apis().map(({ client }) => client);
const logsOf = (server: ServerProcess, text: string): number => server.stderr().split(text).length - 1;

/** A client of each limited process, with a key of its own, which nobody else's calls are counted to. */
async function newCallers(): Promise<ApiClient[]> {
  const { body } = await deployment.api().post('/v1/api-keys', { name: 'counted', level: 'read-only' });
  return limited.map(({ url }) => createApiClient(url, body.key));
}

/** Calls both in turn, some at once. @returns how often each status came, and the longest wait. */
async function callBoth(callers: ApiClient[], calls: number, atOnce = 7) {
  const statuses = new Map<number, number>();
  let longestMs = 0;
  for (let call = 0; call < calls; call += atOnce) {
    const some = Array.from({ length: Math.min(atOnce, calls - call) }, async (_, index) => {
      const from = performance.now();
      const { status } = await callers[(call + index) % callers.length]!.get('/v1/models');
      longestMs = Math.max(longestMs, performance.now() - from);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    });
    await Promise.all(some);
  }
  const refused = statuses.get(429) ?? 0;
  expect(statuses.get(200)).toBe(calls - refused);
  return { refused, longestMs };
}

const untilAll = (servers: ServerProcess[], text: string, times: number) =>
  eventually(
    async () => servers.map((server) => logsOf(server, text)),
    (counts) => counts.every((count) => count === times),
  );

const processes = () => [...deployment.apis(), ...deployment.workers()].map((part) => part.process());

it('a worker says what it commits, an api listens to what is followed there, and to nothing else', async () => {
  const [one] = clients();
  const session = await one!.session();
  const channel = `openclaw:session:${session.id}`;
  const hints: any[] = [];
  const ear = redis.duplicate();
  await ear.subscribe(channel);
  ear.on('message', (_, text) => hints.push(JSON.parse(text)));
  const stream = watch(one!, session.id, SLOW_ANSWER);
  const listeners = async () => Number((await redis.pubsub('NUMSUB', channel))[1]);
  expect(await eventually(listeners, (count) => count > 1)).toBe(2);
  await stream.ended;
  const lags = stream.deltas().map(({ data }) => data.seq as number);
  expect(await eventually(listeners, (count) => count === 1)).toBe(1);
  const events = await one!.events(session.id);
  const said = hints.flatMap(({ seq, events: of }) =>
    of.map(({ type }: any, index: number) => [seq - of.length + index + 1, type]),
  );
  const commits = events.slice(1).map(({ seq, type }) => [seq, type]);
  expect(said.sort(([a], [b]) => a - b)).toEqual(commits);
  expect(lags.length).toBeGreaterThan(10);
  // Nothing of what was written is in what is said.
  expect(JSON.stringify(hints)).not.toContain(stream.deltas()[0]!.data.text.trim());
  ear.disconnect();
});

it('words reach a stream of another process', async () => {
  const [, two] = clients();
  const session = await two!.session();
  const lags: number[] = [];
  for await (const { event, data } of two!.stream(session.id, SLOW_ANSWER))
    if (event === 'content_delta') lags.push(Date.now() - Date.parse(data.created_at));
  const median = lags.sort((a, b) => a - b)[Math.floor(lags.length / 2)];
  note(`with Redis a word reaches a stream of another process after ${median} ms (median)`);
  expect(lags.length).toBeGreaterThan(10);
});

it(
  '1,001 calls over two processes: one is refused',
  async () => {
    const { refused } = await callBoth(await newCallers(), LIMIT + 1);
    note(`1,001 calls over two processes with a limit of 1,000: ${refused} refused`);
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThanOrEqual(1 + TOLERANCE);
  },
  TEST_MS_MAX,
);

itLong(
  'Redis hangs: each process counts for itself, no call fails or waits for it, and every word still comes',
  async () => {
    const [one] = clients();
    const session = await one!.session();
    const stream = watch(one!, session.id, `[[tokens=150 token_ms=40]]`);
    await eventually(
      async () => stream.deltas().length,
      (count) => count > 5,
    );
    deployment.named('redis').signal('SIGSTOP');
    const callers = await newCallers();
    const { refused, longestMs } = await callBoth(callers, 2 * LIMIT);
    note(
      `2,000 calls over two processes while Redis hangs: ${refused} refused, the longest took ${longestMs} ms`,
    );
    expect(refused).toBeLessThanOrEqual(2 * TOLERANCE);
    expect(longestMs).toBeLessThan(CALL_MS_MAX);
    const over = await Promise.all(callers.map((caller) => caller.get('/v1/models')));
    expect(over.map(({ status }) => status)).toEqual([429, 429]);
    await untilAll(limited, 'Redis is away', 1);
    expect(await stream.ended).toBe('ended');
    const events = await expectOneAnswer(one!, { sessionId: session.id, replyId: stream.replyId() }, 150);
    expectPrefix(stream.frames, events, stream.replyId());
    expect((await one!.get('/readyz')).status).toBe(200);
    deployment.named('redis').signal('SIGCONT');
    await untilAll([...limited, ...processes()], 'Redis is back', 1);
  },
  TEST_MS_MAX,
);

it(
  'Redis is killed and comes back empty: a stream loses nothing, and calls are counted together again',
  async () => {
    const [, two] = clients();
    const session = await two!.session();
    const stream = watch(two!, session.id, `[[tokens=150 token_ms=40]]`);
    await eventually(
      async () => stream.deltas().length,
      (count) => count > 5,
    );
    await deployment.named('redis').kill();
    await untilAll([...limited, ...processes()], 'Redis is away', TIMES_AWAY);
    const seen = stream.deltas().length;
    await eventually(
      async () => stream.deltas().length,
      (count) => count > seen,
    );
    expect(await callBoth(await newCallers(), 100)).toMatchObject({ refused: 0 });
    await deployment.named('redis').revive();
    await untilAll([...limited, ...processes()], 'Redis is back', TIMES_AWAY);
    expect(await stream.ended).toBe('ended');
    const asked = { sessionId: session.id, replyId: stream.replyId() };
    expectPrefix(stream.frames, await expectOneAnswer(two!, asked, 150), asked.replyId);
    const { refused } = await callBoth(await newCallers(), LIMIT + 1);
    expect(Math.abs(refused - 1)).toBeLessThanOrEqual(TOLERANCE);
  },
  TEST_MS_MAX,
);

itLong('a process that starts while Redis is away serves all the same', async () => {
  await deployment.named('redis').kill();
  const api = await startServer({ role: 'api', env: deployment.env });
  const client = createApiClient(api.url, ADMIN_KEY);
  const session = await client.session();
  expect(await client.send(session.id, 'Hello')).toMatchObject({ status: 'completed' });
  await untilAll([api], 'Redis is away', 1);
  expect(await api.stop()).toEqual({ code: 0, signal: null });
  await deployment.named('redis').revive();
});
