// Keys that are wrong by a little, stolen, or guessed by the thousand.
import { createApiKeys } from '../../src/services/api-keys.ts';
import { createAccessStore } from '../../src/stores/access.ts';
import { createApiClient, eventually } from '../support/api-client.ts';
import { openTestStore, type TestStore } from '../support/store.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

describe('a key that is wrong by a little', () => {
  let system: TestSystem;
  let key: string;
  beforeAll(async () => {
    system = await startTestSystem();
    key = system.adminKey;
  });
  afterAll(() => system.stop());

  const swapCase = (text: string) =>
    text.replace(/[a-z]/gi, (letter) => (letter < 'a' ? letter.toLowerCase() : letter.toUpperCase()));
  const lastChanged = (text: string) => text.slice(0, -1) + (text.endsWith('A') ? 'B' : 'A');

  it.each<[string, (key: string) => string]>([
    ['in another case', swapCase],
    ['in lower case', (text) => text.toLowerCase()],
    ['cut short', (text) => text.slice(0, -1)],
    ['with something behind it', (text) => `${text}A`],
    ['with a wrong checksum', lastChanged],
    ['in quotes', (text) => `"${text}"`],
    ['with an escaped NUL behind it', (text) => `${text}%00`],
    ['as base64', (text) => Buffer.from(text).toString('base64')],
    ['only its mark', () => 'oclaw_live_'],
    ['256 times as long', (text) => text.repeat(100)],
    ['a JWT that says it needs no signature', () => 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.'],
  ])('%s is refused', async (_name, spoil) => {
    for (const header of [{ authorization: `Bearer ${spoil(key)}` }, { 'x-api-key': spoil(key) }]) {
      const answer = await fetch(`${system.url}/v1/sessions`, {
        headers: header as unknown as Record<string, string>,
      });
      const body = (await answer.json()) as any;
      expect([answer.status, body.error.code]).toEqual([401, 'invalid_api_key']);
      expect(JSON.stringify(body)).not.toContain(key.slice(0, 20));
    }
  });

  it.each(['api_key', 'key', 'token', 'access_token', 'authorization', 'x-api-key'])(
    'is not taken from the query as %s',
    async (name) => {
      const answer = await fetch(`${system.url}/v1/sessions?${name}=${key}`);
      expect([answer.status, ((await answer.json()) as any).error.code]).toEqual([401, 'missing_api_key']);
    },
  );

  it('is refused together with another one, whichever comes first', async () => {
    const { key: other } = await system.as('other', 'admin');
    for (const [one, two] of [
      [key, other],
      [other, key],
    ] as const) {
      const headers = { authorization: `Bearer ${one}`, 'x-api-key': two };
      expect((await fetch(`${system.url}/v1/sessions`, { headers })).status).toBe(401);
    }
  });
});

describe('the store', () => {
  let store: TestStore;
  beforeAll(async () => {
    store = await openTestStore();
  });
  afterAll(() => store.close());

  it('is not asked for a key whose checksum or length is wrong', async () => {
    const access = createAccessStore(store.store);
    const findByHash = jest.fn(access.findByHash);
    const now = Date.now;
    const keys = createApiKeys({
      access: { ...access, findByHash },
      db: store.db,
      secretKey: 'pepper',
      now,
    } as never);
    const key = await keys.createForAccount('somebody', 'standard');
    const wrong = [
      key.toLowerCase(),
      key.slice(0, -1),
      `${key}A`,
      `oclaw_live_${'A'.repeat(36)}`,
      'short',
      'x'.repeat(300),
    ];
    for (const text of wrong)
      await expect(keys.authenticate(text)).rejects.toMatchObject({ code: 'invalid_api_key' });
    expect(findByHash).not.toHaveBeenCalled();
    await expect(keys.authenticate(key)).resolves.toMatchObject({ level: 'standard' });
    expect(findByHash).toHaveBeenCalledTimes(1);
  });

  it('that takes no writes refuses nobody, though it can not keep when a key was used', async () => {
    const access = createAccessStore(store.store);
    const touch = jest.fn(() => Promise.reject(new Error('The disk is full')));
    const keys = createApiKeys({ access: { ...access, touch }, secretKey: 'pepper', now: Date.now } as never);
    const key = await keys.createForAccount('a full disk', 'standard');
    await expect(keys.authenticate(key)).resolves.toMatchObject({ level: 'standard' });
    expect(touch).toHaveBeenCalledTimes(1);
  });
});

describe('a key that is revoked under load', () => {
  let system: TestSystem;
  beforeAll(async () => {
    system = await startTestSystem();
  });
  afterAll(() => system.stop());

  it('gets nothing accepted and no more of its open streams and waits', async () => {
    const made = await system.api.post('/v1/api-keys', { name: 'stolen', level: 'standard' });
    const thief = createApiClient(system.url, made.body.key);
    const session = await thief.session();
    const isStopped = { value: false };
    const accepted: number[] = [];
    const refused: number[] = [];
    const load = Array.from({ length: 4 }, async () => {
      while (!isStopped.value) {
        const startedAt = Date.now();
        const { status } = await thief.get('/v1/sessions?limit=1');
        (status === 401 ? refused : accepted).push(startedAt);
      }
    });
    const slow = '[[tokens=400 token_ms=50]] a story of twenty seconds';
    const streamed = await thief.session();
    const frames: string[] = [];
    const stream = (async () => {
      for await (const { event } of thief.stream(streamed.id, slow)) frames.push(event);
    })();
    const waiting = thief.post(`/v1/sessions/${session.id}/messages`, { content: slow });
    await eventually(
      async () => frames,
      (seen) => seen.includes('content_delta'),
    );

    expect((await system.api.delete(`/v1/api-keys/${made.body.id}`)).status).toBe(200);
    const revokedAt = Date.now();
    await stream;
    const answer = await waiting;
    expect(Date.now() - revokedAt).toBeLessThan(5_000);
    expect([answer.status, answer.body.error.code]).toEqual([401, 'invalid_api_key']);
    expect(frames).not.toContain('message');
    await eventually(
      async () => refused.length,
      (count) => count > 20,
    );
    isStopped.value = true;
    await Promise.all(load);
    expect(accepted.length).toBeGreaterThan(0);
    expect(accepted.filter((startedAt) => startedAt > revokedAt)).toEqual([]);
    const replies = (await system.api.get(`/v1/sessions/${streamed.id}/messages`)).body.data;
    expect(replies.at(-1).status).toBe('in_progress');
  });
});

describe('keys that are guessed', () => {
  let system: TestSystem;
  beforeAll(async () => {
    system = await startTestSystem({ settings: { rateLimitPerMinute: 200 } });
  });
  afterAll(() => system.stop());

  it('are throttled by their address, and whoever has a key there goes on', async () => {
    const guess = async (index: number) => {
      const headers = { authorization: `Bearer ${`guessed-key-${index}`.padEnd(24, '0')}` };
      return (await fetch(`${system.url}/v1/sessions`, { headers })).status;
    };
    const statuses: number[] = [];
    for (let round = 0; round < 5; round += 1)
      statuses.push(
        ...(await Promise.all(Array.from({ length: 50 }, (_, index) => guess(round * 50 + index)))),
      );
    expect(statuses.filter((status) => status === 401)).toHaveLength(200);
    expect(statuses.filter((status) => status === 429)).toHaveLength(50);
    expect((await system.api.get('/v1/sessions')).status).toBe(200);
  });
});
