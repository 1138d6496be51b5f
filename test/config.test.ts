import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
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

/** A bad value for each variable, and the reason that its line gives. Secrets hold `the-word`, which no message repeats. */
const badValues: [string, string, RegExp][] = [
  ['PORT', 'abc', /must be a whole number from 0 to 65535/],
  ['PORT', '70000', /must be a whole number/],
  ['PORT', ' 8080', /must be a whole number/],
  ['HOST', 'http://127.0.0.1', /must be an address or a name of this machine, without scheme/],
  ['HOST', '127.0.0.1:80', /must be an address/],
  ['HOST', '[::1]', /must be an address/],
  ['OPENCLAW_DATA_DIR', '  ', /holds white space only/],
  ['OPENCLAW_API_KEY', 'the-word', /must have at least 16 and at most 256 characters/],
  ['OPENCLAW_API_KEY', 'the-word'.repeat(40), /must have at least 16 and at most 256 characters/],
  ['OPENCLAW_API_KEY', 'the-word with spaces in it', /must hold no spaces/],
  ['OPENCLAW_API_KEY', 'the-word-and-its-line-break\n', /must hold no line break/],
  ['OPENCLAW_API_KEY', 'the-word-with-\u00fcmlauts', /plain ASCII/],
  ['OPENCLAW_SYNC_WAIT_SECONDS', '0', /from 1 to 3600/],
  ['OPENCLAW_RATE_LIMIT_PER_MINUTE', '1e3', /must be a whole number/],
  ['OPENCLAW_MAX_CONNECTIONS', '5', /from 16 to/],
  ['OPENCLAW_MODELS_FILE', '\t', /holds white space only/],
  ['OPENCLAW_SECRET_KEY', 'the-word', /must have at least 16 characters/],
  ['OPENCLAW_SECRET_KEY', ' '.repeat(20), /holds white space only/],
  ['OPENCLAW_TRUSTED_PROXIES', '10.0.0.1, proxy', /'proxy' is no IP address or subnet/],
  ['OPENCLAW_TRUSTED_PROXIES', '10.0.0.0/99', /'10\.0\.0\.0\/99' is no IP address or subnet/],
  ['OPENCLAW_TRUSTED_PROXIES', '0.0.0.0/0', /is no IP address or subnet/],
  ['OPENCLAW_TRUSTED_PROXIES', 'a:the-word@10.0.0.1', /is no IP address or subnet/],
  ['OPENCLAW_CORS_ORIGINS', 'https://a.example, *', /'\*' is no origin, such as/],
  ['OPENCLAW_CORS_ORIGINS', 'https://a.example/', /is no origin/],
  ['OPENCLAW_CORS_ORIGINS', 'https://*.a.example', /is no origin.*wildcards are not supported/],
  ['OPENCLAW_CORS_ORIGINS', 'ws://a.example', /is no origin/],
  ['OPENCLAW_EGRESS_ALLOW', '10.0.0.0/99', /is no host, address or subnet/],
  ['OPENCLAW_TEMPORAL_PREVIEWS', 'TRUE', /must be true or false/],
  ['OPENCLAW_TEMPORAL_UI_PORT', '0', /from 1 to 65535/],
  ['OPENCLAW_LOG_LEVEL', 'INFO', /must be trace, debug, .* or silent/],
  ['DATABASE_URL', 'mysql://a:the-word@b', /must be a postgres:\/\/ address/],
  ['REDIS_URL', 'http://a:the-word@b', /must be a redis:\/\/ or rediss:\/\/ address/],
  ['ANTHROPIC_API_KEY', '   ', /holds white space only/],
  ['ANTHROPIC_API_KEY', '"the-word"', /must not stand in quotes/],
  ['OPENCLAW_API_KEY', "'the-word-of-the-operator'", /must not stand in quotes/],
  ['ANTHROPIC_API_KEY', ' the-word', /must hold no spaces/],
  ['ANTHROPIC_API_KEY', 'the-word\n', /must hold no line break/],
  ['ANTHROPIC_API_KEY', 'the-word\u00e9', /plain ASCII/],
  ['ANTHROPIC_API_KEY', 'the-word\u0007', /plain ASCII/],
  ['ANTHROPIC_BASE_URL', 'localhost/the-word', /must be an http/],
  ['ANTHROPIC_BASE_URL', 'http://a/v1/messages%3Fk=the-word', /must hold no query/],
  ['ANTHROPIC_BASE_URL', 'http://a/v1%23the-word', /must hold no query/],
  ['ANTHROPIC_BASE_URL', 'http://a/v1/messages/count_tokens', /must end before the endpoint/],
  ['ANTHROPIC_BASE_URL', 'http://a/the-word/V1/chat/completions/', /must end before the endpoint/],
  ['XDG_CACHE_HOME', ' ', /holds white space only/],
  ['HOME', ' ', /holds white space only/],
  ['TEMPORAL_ADDRESS', 'https://the-word@temporal', /must be host:port/],
  ['TEMPORAL_API_KEY', 'the-word\n', /must hold no line break/],
  ['TEMPORAL_TLS', 'maybe', /must be true or false/],
  ['TEMPORAL_TLS_DISABLE_HOST_VERIFICATION', 'yes', /must be true or false/],
  ['TEMPORAL_TLS_CLIENT_CERT_PATH', '/none.pem', /the file \/none\.pem is not there/],
  ['TEMPORAL_CONFIG_FILE', '/none.toml', /the file \/none\.toml is not there/],
  ['TEMPORAL_NAMESPACE', ' ', /holds white space only/],
];

test.each(badValues)('%s=%j is refused with its name and the reason', (name, value, reason) => {
  const start = () => readConfig({ ...base, TEMPORAL_ADDRESS: 'temporal:7233', [name]: value });
  expect(start).toThrow(ConfigError);
  expect(start).toThrow(new RegExp(`^ +${name}: .*${reason.source}`, 'm'));
  expect(start).not.toThrow(/the-word/);
});

test('one port for the API and the Temporal UI is refused, unless the server is another one', () => {
  const ports = { ...base, OPENCLAW_TEMPORAL_UI_PORT: '8080' };
  expect(() => readConfig(ports)).toThrow(/OPENCLAW_TEMPORAL_UI_PORT: must differ from PORT, which is 8080/);
  expect(readConfig({ ...ports, TEMPORAL_ADDRESS: 'temporal:7233' }).port).toBe(8080);
});

test.each([
  ['https://gateway.example/v1/account/anthropic/', 'https://gateway.example/v1/account/anthropic'],
  ['https://gateway.example/models/claude/v1', 'https://gateway.example/models/claude'],
])('%s is the base URL %s', (ANTHROPIC_BASE_URL, expected) => {
  expect(readConfig({ ...base, ANTHROPIC_BASE_URL }).anthropicBaseUrl).toBe(expected);
});

test('there is a bad value for every variable', () => {
  const readme = readFileSync(join(__dirname, '../README.md'), 'utf8');
  const rows = readme.split('\n').filter((line) => /^\| `[A-Z]/.test(line));
  const names = rows.flatMap((row) =>
    [...(row.split('|')[1] ?? '').matchAll(/`([A-Z_]+)`/g)].map(([, n]) => n),
  );
  expect(names.length).toBeGreaterThan(20);
  const tried = badValues.map(([name]) => name);
  expect(names.filter((name) => !tried.includes(name as string))).toEqual([]);
});

test('every mistake is told at once, unknown names with the name that was meant', () => {
  const start = () =>
    readConfig({ ...base, PORT: 'x', HOST: ' ', OPENCLAW_DATADIR: '/x', OPENCLAW_FOO: '1' });
  expect(start).toThrow(
    'The environment has mistakes:\n' +
      '  Unknown variable OPENCLAW_DATADIR. Did you mean OPENCLAW_DATA_DIR?\n' +
      '  Unknown variable OPENCLAW_FOO. README.md lists every variable\n' +
      '  HOST: holds white space only\n' +
      '  PORT: must be a whole number from 0 to 65535',
  );
});

test.each([
  ['OPENCLAW_PORT', 'PORT'],
  ['OPENCLAW_ANTHROPIC_API_KEY', 'ANTHROPIC_API_KEY'],
  ['OPENCLAW_RATE_LIMIT', 'OPENCLAW_RATE_LIMIT_PER_MINUTE'],
  ['OPENCLAW_TRUSTED_PROXY', 'OPENCLAW_TRUSTED_PROXIES'],
])('%s was meant to be %s', (name, meant) => {
  expect(() => readConfig({ ...base, [name]: '1' })).toThrow(`${name}. Did you mean ${meant}?`);
});

test("Temporal's profile that is missing is named without the contents of its file", () => {
  const TEMPORAL_CONFIG_FILE = join(mkdtempSync(join(tmpdir(), 'openclaw-')), 'temporal.toml');
  writeFileSync(TEMPORAL_CONFIG_FILE, '[profile.a]\napi_key = "the-word"\n');
  const missing = () => readConfig({ ...base, TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE: 'nope' });
  expect(missing).toThrow(ConfigError);
  expect(missing).toThrow(/TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE.*'nope' not found/);
  writeFileSync(TEMPORAL_CONFIG_FILE, '[profile.a]\napi_key = "the-word\n');
  const broken = () => readConfig({ ...base, TEMPORAL_CONFIG_FILE });
  expect(broken).toThrow(ConfigError);
  expect(broken).not.toThrow(/the-word/);
});

test('a relative XDG_CACHE_HOME is ignored, and said so', () => {
  const { cacheDir, warnings } = readConfig({ ...base, XDG_CACHE_HOME: 'cache' });
  expect(cacheDir).toBe('/home/someone/.cache/openclaw');
  expect(warnings).toEqual([expect.stringMatching(/XDG_CACHE_HOME is a relative path/)]);
});

test('settings of a Temporal server without its address are told', () => {
  const { externalTemporal, warnings } = readConfig({ ...base, TEMPORAL_NAMESPACE: 'claw' });
  expect(externalTemporal).toBeNull();
  expect(warnings).toEqual([
    expect.stringMatching(/TEMPORAL_NAMESPACE has no effect without TEMPORAL_ADDRESS/),
  ]);
});

test.each(['10.0.0.1', '10.0.0.0/8, fd00::/8', 'loopback, ::1'])(
  '%s are proxies',
  (OPENCLAW_TRUSTED_PROXIES) => {
    expect(readConfig({ ...base, OPENCLAW_TRUSTED_PROXIES }).trustedProxies).toEqual(
      OPENCLAW_TRUSTED_PROXIES.split(', '),
    );
  },
);

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
  { DATABASE_URL: 'postgres://user:12/the?the-word@host/db' },
  { DATABASE_URL: 'postgres://host?password=the-word@host' },
  { DATABASE_URL: 'postgres://user@host/db?password=the-word&sslmode' },
  { DATABASE_URL: 'postgres://user@host/db?password=the-word\tb' },
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

// As libpq reads them: each sign stands for itself in the query, also where the driver's own reader takes it for another.
test.each<[string, Record<string, string>]>([
  ['postgres://host/db?user=a@b&password=p@ss', { user: 'a@b', password: 'p@ss' }],
  ['postgres://u:p%4Fss@host/db?application_name=my app', { password: 'pOss', application_name: 'my app' }],
  ['postgres://u@host/db?options=-c search_path=a', { options: '-c search_path=a' }],
  ['postgres://u@host/db?options=-c%20search_path%3Da', { options: '-c search_path=a' }],
  ['postgres://u@host/db?password=a+b#c', { password: 'a+b#c' }],
  ['postgres://u:100%@host/db?password=50%', { password: '50%' }],
  ['postgres:///db?host=/run/my postgres', { host: '/run/my postgres' }],
])('%s reaches the driver as it was meant', (DATABASE_URL, expected) => {
  const connectionString = readConfig({ ...base, DATABASE_URL }).databaseUrl ?? '';
  expect(new pg.Client({ connectionString })).toMatchObject({ connectionParameters: expected });
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
