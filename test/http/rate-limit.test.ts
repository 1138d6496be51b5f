// Rate limits: fixed windows by key, or by address without a valid one; headers that agree with each other.
import { addSession } from './support/fake-services.ts';
import {
  type Answer,
  expectError,
  type Harness,
  type HarnessOptions,
  startHarness,
} from './support/server.ts';

const rateOf = ({ headers }: Pick<Answer, 'headers'>) => ({
  limit: Number(headers.get('x-ratelimit-limit')),
  remaining: Number(headers.get('x-ratelimit-remaining')),
  reset: Number(headers.get('x-ratelimit-reset')),
});

let app: Harness;
const start = async (options: HarnessOptions) => {
  app = await startHarness(options);
};
afterEach(() => app.close());

it('refuses exactly one of 1,001 calls of a key', async () => {
  await start({ rateLimitPerMinute: 1_000 });
  const answers: Answer[] = [];
  for (let round = 0; round < 13; round++)
    answers.push(...(await Promise.all(Array.from({ length: 77 }, () => app.call('GET', '/v1/models')))));
  expect(answers).toHaveLength(1_001);
  const refused = answers.filter(({ status }) => status === 429);
  expect(refused).toHaveLength(1);
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1_000);
  expect(new Set(answers.map((answer) => rateOf(answer).remaining)).size).toBe(1_000);
  expect((await app.call('GET', '/v1/models', { key: 'b-admin' })).status).toBe(200);
});

describe('a window of two calls', () => {
  beforeEach(() => start({ rateLimitPerMinute: 2 }));

  it('counts down, then says when to come back', async () => {
    const answers = [];
    for (let call = 0; call < 4; call++) answers.push(await app.call('GET', '/v1/models'));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429, 429]);
    expect(answers.map((answer) => rateOf(answer).remaining)).toEqual([1, 0, 0, 0]);
    const refused = answers[2] as Answer;
    expectError(refused, 429, 'rate_limited');
    const retryAfter = refused.headers.get('retry-after') as string;
    expect(retryAfter).toMatch(/^\d+$/);
    const untilReset = rateOf(refused).reset - Date.now() / 1_000;
    expect(Math.abs(Number(retryAfter) - untilReset)).toBeLessThanOrEqual(1);
    expect(Number(retryAfter)).toBeGreaterThanOrEqual(59);
  });

  it('begins again when the window is over', async () => {
    for (let call = 0; call < 3; call++) await app.call('GET', '/v1/models');
    const now = Date.now();
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now + 60_001);
    const answer = await app.call('GET', '/v1/models');
    clock.mockRestore();
    expect([answer.status, rateOf(answer).remaining]).toEqual([200, 1]);
  });

  it.each([-7_200_000, 7_200_000])('is over in a minute, though the clock is set by %i ms', async (byMs) => {
    await app.call('GET', '/v1/models');
    const now = Date.now();
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now + byMs);
    const { reset } = rateOf(await app.call('GET', '/v1/models'));
    clock.mockRestore();
    const leftMs = reset * 1_000 - (now + byMs);
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(61_000);
  });

  it('counts keys apart, and calls without a valid key by address', async () => {
    for (let call = 0; call < 3; call++) await app.call('GET', '/v1/models', { key: `guess-${call}` });
    expectError(await app.call('GET', '/v1/models', { key: 'guess' }), 429, 'rate_limited');
    expectError(await app.call('GET', '/v1/models', { key: null }), 429, 'rate_limited');
    expect((await app.call('GET', '/v1/models', { key: 'a-admin' })).status).toBe(200);
    expect((await app.call('GET', '/v1/models', { key: 'a-standard' })).status).toBe(200);
  });

  it('comes after the route and before the level', async () => {
    for (let call = 0; call < 3; call++) await app.call('GET', '/v1/models', { key: 'a-read-only' });
    expectError(await app.call('GET', '/v1/nothing', { key: 'a-read-only' }), 404, 'not_found');
    expectError(await app.call('PUT', '/v1/models', { key: 'a-read-only' }), 405, 'method_not_allowed');
    expectError(await app.call('POST', '/v1/sessions', { key: 'a-read-only' }), 429, 'rate_limited');
  });

  it('does not count probes', async () => {
    for (let call = 0; call < 4; call++) {
      const answer = await app.call('GET', '/healthz');
      expect([answer.status, answer.headers.get('x-ratelimit-limit')]).toEqual([200, null]);
    }
  });

  it('does not believe a forwarded address', async () => {
    const from = (address: string) =>
      app.call('GET', '/v1/models', { key: null, headers: { 'x-forwarded-for': address } });
    for (const address of ['10.0.0.1', '10.0.0.2']) expectError(await from(address), 401, 'missing_api_key');
    expectError(await from('10.0.0.3'), 429, 'rate_limited');
  });
});

it('believes the forwarded address of a trusted proxy', async () => {
  await start({ rateLimitPerMinute: 1, trustedProxies: ['127.0.0.1/32'] });
  const from = (address: string) =>
    app.call('GET', '/v1/models', { key: null, headers: { 'x-forwarded-for': address } });
  expectError(await from('10.0.0.1'), 401, 'missing_api_key');
  expectError(await from('10.0.0.2'), 401, 'missing_api_key');
  expectError(await from('10.0.0.1'), 429, 'rate_limited');
});

describe('a client token', () => {
  const call = async (key: string) => {
    const answer = await app.call('GET', `/v1/sessions/${addSession(app).id}`, { key });
    return [answer.status, rateOf(answer).limit, rateOf(answer).remaining];
  };

  it.each(['alone', 'together'])('has a quarter of the limit of its key, counted %s', async (how) => {
    const counts = new Map<string, number>();
    const countTogether = async (bucket: string) => {
      const used = (counts.get(bucket) ?? 0) + 1;
      counts.set(bucket, used);
      return { used, windowLeftMs: 30_000 };
    };
    await start({ rateLimitPerMinute: 8, ...(how === 'together' && { countTogether }) });
    const statuses = [];
    for (let calls = 0; calls < 4; calls++) statuses.push(await call('a-token'));
    expect(statuses).toEqual([
      [200, 2, 1],
      [200, 2, 0],
      [429, 2, 0],
      [429, 2, 0],
    ]);
    // Two calls of the token were taken, and they count to its key.
    expect(await call('a-standard')).toEqual([200, 8, 5]);
  });

  it('has no more than its key has left', async () => {
    await start({ rateLimitPerMinute: 8 });
    for (let calls = 0; calls < 6; calls++) await call('a-standard');
    expect(await call('a-token')).toEqual([200, 2, 1]);
    await call('a-standard');
    expect((await call('a-token'))[0]).toBe(429);
  });
});

describe('with counts that processes share', () => {
  it('goes by them, and while they are away by its own, from nothing', async () => {
    let used: number | undefined = 9;
    const buckets: string[] = [];
    await start({
      rateLimitPerMinute: 10,
      async countTogether(bucket) {
        buckets.push(bucket);
        return used === undefined ? undefined : { used: ++used, windowLeftMs: 30_000 };
      },
    });
    const calls = async () => {
      const answer = await app.call('GET', '/v1/models');
      return [answer.status, rateOf(answer).remaining];
    };
    expect([await calls(), await calls()]).toEqual([
      [200, 0],
      [429, 0],
    ]);
    used = undefined;
    expect([await calls(), await calls()]).toEqual([
      [200, 9],
      [200, 8],
    ]);
    used = 10;
    expect(await calls()).toEqual([429, 0]);
    expect(new Set(buckets)).toEqual(new Set(['key:key_acct_a_admin']));
  });
});
