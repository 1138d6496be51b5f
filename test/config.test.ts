import { ConfigError, describeConfig, readConfig } from '../src/config.ts';

const base = { HOME: '/home/someone', PATH: '/bin' };

test('an empty environment is a working configuration', () => {
  const config = readConfig(base);
  expect(config).toMatchObject({ port: 8080, host: '127.0.0.1', dataDir: '.openclaw', syncWaitMs: 240_000 });
  expect(config.cacheDir).toBe('/home/someone/.cache/openclaw');
  expect(config.externalTemporal).toBeNull();
});

test('an empty variable is an unset one', () => {
  const config = readConfig({
    ...base,
    PORT: '',
    OPENCLAW_API_KEY: '',
    ANTHROPIC_BASE_URL: '',
    TEMPORAL_ADDRESS: '',
  });
  expect(config).toMatchObject({ port: 8080, apiKey: null, anthropicBaseUrl: null, externalTemporal: null });
});

test.each([
  [{ PORT: '80a' }, /PORT/],
  [{ PORT: '70000' }, /PORT/],
  [{ OPENCLAW_API_KEY: 'short' }, /OPENCLAW_API_KEY.*16/],
  [{ OPENCLAW_SYNC_WAIT_SECONDS: '-1' }, /OPENCLAW_SYNC_WAIT_SECONDS/],
  [{ ANTHROPIC_BASE_URL: 'ftp://x' }, /ANTHROPIC_BASE_URL.*http/],
  [{ OPENCLAW_TEMPORAL_PREVIEWS: 'yes' }, /OPENCLAW_TEMPORAL_PREVIEWS/],
  [{ OPENCLAW_EGRESS_ALLOW: 'localhost, http://x' }, /OPENCLAW_EGRESS_ALLOW: 'http:\/\/x' is no host/],
  [{ OPENCLAW_DATADIR: '/x' }, /Unknown variable OPENCLAW_DATADIR/],
  [{ DATABASE_URL: 'mysql://x' }, /DATABASE_URL.*postgres/],
  [{ REDIS_URL: 'localhost:6379' }, /REDIS_URL.*redis:/],
  [{ REDIS_URL: 'http://localhost:6379' }, /REDIS_URL.*redis:/],
  [{ REDIS_URL: 'redis://' }, /REDIS_URL.*redis:/],
  [{ REDIS_URL: 'redis://localhost/cache' }, /REDIS_URL.*number/],
  [{ REDIS_URL: 'redis://localhost?commandTimeout=0' }, /REDIS_URL.*redis:/],
])('%j refuses to start and names the variable', (variables, message) => {
  expect(() => readConfig({ ...base, ...variables })).toThrow(ConfigError);
  expect(() => readConfig({ ...base, ...variables })).toThrow(message);
});

test('a variable of a later version is accepted with a warning', () => {
  expect(readConfig({ ...base, OPENCLAW_BLOB_URL: 's3://x' }).warnings).toEqual([
    expect.stringContaining('OPENCLAW_BLOB_URL'),
  ]);
});

test('the official Temporal variables name an existing server', () => {
  const config = readConfig({
    ...base,
    TEMPORAL_ADDRESS: 'temporal:7233',
    TEMPORAL_NAMESPACE: 'claw',
    TEMPORAL_API_KEY: 'k',
  });
  expect(config.externalTemporal).toMatchObject({
    connection: { address: 'temporal:7233', apiKey: 'k' },
    namespace: 'claw',
  });
});

test.each(['redis://redis', 'redis://:word@redis:6379/1', 'rediss://user:word@redis.example.com:6380/'])(
  '%s is an address of Redis',
  (REDIS_URL) => {
    expect(readConfig({ ...base, REDIS_URL }).redisUrl).toBe(REDIS_URL);
  },
);

test('a mistaken address of Redis is not repeated, for it holds a password', () => {
  const mistaken = () => readConfig({ ...base, REDIS_URL: 'redis://:the-password@redis:6379/one' });
  expect(mistaken).toThrow(/REDIS_URL/);
  expect(mistaken).not.toThrow(/the-password/);
});

test('what is logged of it holds no secret', () => {
  const secrets = {
    OPENCLAW_API_KEY: 'oclaw_live_aaaaaaaaaa',
    OPENCLAW_SECRET_KEY: 'pepper-pepper-pepper',
    ANTHROPIC_API_KEY: 'sk-ant-1234',
    REDIS_URL: 'redis://:the-password@redis:6379',
  };
  const shown = JSON.stringify(
    describeConfig(
      readConfig({ ...base, ...secrets, TEMPORAL_ADDRESS: 'a:1', TEMPORAL_API_KEY: 'tmprl-key' }),
    ),
  );
  for (const secret of [...Object.values(secrets), 'tmprl-key']) expect(shown).not.toContain(secret);
  expect(shown).not.toContain('the-password');
});
