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

describe('the address of the model', () => {
  const addressOf = (ANTHROPIC_BASE_URL: string) =>
    readConfig({ ...base, ANTHROPIC_BASE_URL }).anthropicBaseUrl;

  test.each([
    ['https://api.anthropic.com', 'https://api.anthropic.com'],
    ['https://api.anthropic.com/', 'https://api.anthropic.com'],
    ['https://api.anthropic.com/v1', 'https://api.anthropic.com'],
    ['https://api.anthropic.com/v1/', 'https://api.anthropic.com'],
    ['https://api.anthropic.com/v1/messages', 'https://api.anthropic.com'],
    ['https://api.anthropic.com//v1//messages//', 'https://api.anthropic.com'],
    ['https://api.anthropic.com/V1/Messages', 'https://api.anthropic.com'],
    ['HTTPS://API.Anthropic.com/v1', 'https://api.anthropic.com'],
    ['  http://localhost:4000/v1\n', 'http://localhost:4000'],
    ['https://gateway.example.com/anthropic/v1/messages', 'https://gateway.example.com/anthropic'],
    ['https://gateway.example.com/team-a///', 'https://gateway.example.com/team-a'],
    ['https://gateway.example.com:443/a/../b', 'https://gateway.example.com/b'],
    ['http://[::1]:8080', 'http://[::1]:8080'],
  ])('%j is %s', (given, address) => expect(addressOf(given)).toBe(address));

  test.each([
    ['https://user:the-word@host', /ANTHROPIC_BASE_URL: must hold no user or password/],
    ['https://the-word@host/v1', /no user or password/],
    ['https://:the-word@host', /no user or password/],
    ['https://@host', /no user or password/],
    ['https://host/v1?key=the-word', /no query/],
    ['https://host?', /no query/],
    ['https://host/#the-word', /no fragment/],
    ['https://user:the-word@host?x=the-word', /no user or password[\s\S]*no query/],
    ['ftp://user:the-word@host', /must be an http\(s\) URL/],
    ['file:///the-word', /must be an http/],
    ['//host/the-word', /must be an http/],
    ['https:host', /must be an http/],
    ['https:///host', /must be an http/],
    ['https://', /must be an http/],
    ['https://host:99999/the-word', /must be an http/],
    ['https://ho st/the-word', /must be an http/],
    ['https://host/a\nb/the-word', /must be an http/],
    ['the-word', /must be an http/],
  ])('%j is refused without its secret', (given, message) => {
    expect(() => addressOf(given)).toThrow(ConfigError);
    expect(() => addressOf(given)).toThrow(message);
    expect(() => addressOf(given)).not.toThrow(/the-word/);
  });
});

test.each([
  { DATABASE_URL: 'postgres://user:12#the-word@host/db' },
  { DATABASE_URL: 'postgres://user:12/the-word@host/db' },
  { DATABASE_URL: 'postgres://user:12?the-word@host/db' },
  { DATABASE_URL: 'http://user:the-word@host/db' },
  { TEMPORAL_ADDRESS: 'https://user:the-word@host:7233' },
  { TEMPORAL_ADDRESS: 'user:the-word@host:7233' },
  { TEMPORAL_ADDRESS: 'host:7233?key=the-word' },
  { OPENCLAW_EGRESS_ALLOW: 'http://user:the-word@host' },
  { OPENCLAW_CORS_ORIGINS: 'http://user:the-word@host' },
])('%j is refused without its password', (variables) => {
  const start = () => readConfig({ ...base, ...variables });
  expect(start).toThrow(new RegExp(Object.keys(variables)[0] as string));
  expect(start).not.toThrow(/the-word/);
});

test.each([
  'postgres://user:p%40ss%2Fword@host:5432/db?sslmode=require',
  'postgresql:///db?host=/run/postgresql',
  'postgres://user:p@ss@host/db',
])('%s is an address of PostgreSQL', (DATABASE_URL) => {
  expect(readConfig({ ...base, DATABASE_URL: ` ${DATABASE_URL} ` }).databaseUrl).toBe(DATABASE_URL);
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
