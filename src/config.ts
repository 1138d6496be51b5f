// The only reader of the environment: one strict schema, so that a typo refuses to start.
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { z } from 'zod';
import { mistakesIn } from './egress/allow-list.ts';

type Environment = Record<string, string | undefined>;

/** Ours, and those of the SDKs that share the prefix; any other OPENCLAW_ name is a typo. */
const KNOWN_NAMES = new Set([
  'OPENCLAW_DATA_DIR',
  'OPENCLAW_API_KEY',
  'OPENCLAW_SYNC_WAIT_SECONDS',
  'OPENCLAW_RATE_LIMIT_PER_MINUTE',
  'OPENCLAW_MAX_CONNECTIONS',
  'OPENCLAW_MODELS_FILE',
  'OPENCLAW_SECRET_KEY',
  'OPENCLAW_TRUSTED_PROXIES',
  'OPENCLAW_CORS_ORIGINS',
  'OPENCLAW_EGRESS_ALLOW',
  'OPENCLAW_TEMPORAL_PREVIEWS',
  'OPENCLAW_TEMPORAL_UI_PORT',
  'OPENCLAW_LOG_LEVEL',
  'OPENCLAW_BASE_URL',
  'OPENCLAW_LOG',
]);

/** Promised for later versions: accepted with a warning, so that one environment can serve several versions. */
const LATER_NAMES = ['OPENCLAW_BLOB_URL', 'OPENCLAW_WORKER_QUEUES'] as const;

function wholeNumber(min: number, max: number) {
  const mistake = `must be a whole number from ${min} to ${max}`;
  const isInRange = (value: number) => value >= min && value <= max;
  return z.string().regex(/^\d+$/, mistake).transform(Number).refine(isInRange, mistake);
}

/** Where the Messages API lives, without the `/v1` that each call adds. */
const modelAddress = z
  .string()
  .transform((text) => text.trim())
  .superRefine((text, context) => {
    const refuse = (message: string) => context.addIssue({ code: 'custom', message });
    if (!/^https?:\/\/[^\s/]\S*$/i.test(text) || !URL.canParse(text)) return refuse('must be an http(s) URL');
    const { username, password } = new URL(text);
    if (username + password !== '' || /^[^/]+\/\/[^/?#]*@/.test(text))
      refuse('must hold no user or password; the key belongs in ANTHROPIC_API_KEY');
    if (/[?#]/.test(text)) refuse('must hold no query and no fragment (no ? and no #)');
  })
  .transform((text) => {
    const { origin, pathname } = new URL(text);
    const path = pathname.replace(/\/+$/, '').replace(/\/v1(\/+messages)?$/i, '');
    return origin + path.replace(/\/+$/, '');
  });

/** An `@` or `#` behind the host is part of a password that isn't percent-encoded. The driver would read it as a path. */
const isPostgresAddress = (text: string): boolean =>
  /^postgres(ql)?:\/\/[^\s/?#]*([/?][^\s@#]*)?$/.test(text);

/** Temporal's clients add the scheme themselves, and show the address in their errors. */
const isTemporalAddress = (text: string): boolean => /^[^\s/?#@]+$/.test(text);

/** What stands behind a `?` would be settings of the driver, past this schema. */
function isRedisAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, pathname, search, hash } = new URL(text);
  return (
    /^rediss?:$/.test(protocol) && hostname !== '' && /^(\/\d*)?$/.test(pathname) && search + hash === ''
  );
}

const commaList = z
  .string()
  .default('')
  .transform((list) =>
    list
      .split(',')
      .map((entry) => entry.trim())
      .filter(Boolean),
  );

/** As browsers send it: without a path, a slash at its end, or a port that the scheme has anyway. */
const isOrigin = (text: string): boolean => URL.canParse(text) && new URL(text).origin === text;

const withoutUser = (entry: string): string => entry.replace(/^.*@/, '...@');

const Variables = z.object({
  PORT: wholeNumber(0, 65_535).default(8_080),
  HOST: z.string().default('127.0.0.1'),
  OPENCLAW_DATA_DIR: z.string().default('.openclaw'),
  OPENCLAW_API_KEY: z.string().min(16, 'must have at least 16 characters').max(256).optional(),
  OPENCLAW_SYNC_WAIT_SECONDS: wholeNumber(1, 3_600).default(240),
  OPENCLAW_RATE_LIMIT_PER_MINUTE: wholeNumber(1, 100_000_000).default(1_000),
  OPENCLAW_MAX_CONNECTIONS: wholeNumber(16, 1_000_000).optional(),
  OPENCLAW_MODELS_FILE: z.string().optional(),
  OPENCLAW_SECRET_KEY: z.string().min(16, 'must have at least 16 characters').optional(),
  OPENCLAW_TRUSTED_PROXIES: commaList,
  OPENCLAW_CORS_ORIGINS: commaList.refine((origins) => origins.every(isOrigin), {
    message: 'must be origins, with commas, such as https://app.example.com',
  }),
  OPENCLAW_EGRESS_ALLOW: commaList.superRefine((entries, context) => {
    for (const entry of mistakesIn(entries))
      context.addIssue({ code: 'custom', message: `'${withoutUser(entry)}' is no host, address or subnet` });
  }),
  OPENCLAW_TEMPORAL_PREVIEWS: z
    .enum(['true', 'false'])
    .default('true')
    .transform((value) => value === 'true'),
  OPENCLAW_TEMPORAL_UI_PORT: wholeNumber(1, 65_535).optional(),
  OPENCLAW_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  DATABASE_URL: z
    .string()
    .transform((text) => text.trim())
    .refine(
      isPostgresAddress,
      'must be a postgres:// address, with special characters in user and password percent-encoded',
    )
    .optional(),
  REDIS_URL: z
    .string()
    .transform((text) => text.trim())
    .refine(isRedisAddress, 'must be a redis:// or rediss:// address, at most with the number of a database')
    .optional(),
  ANTHROPIC_API_KEY: z.string().optional(),
  ANTHROPIC_BASE_URL: modelAddress.optional(),
  XDG_CACHE_HOME: z.string().optional(),
  HOME: z.string().default('.'),
  PATH: z.string().default(''),
});

export type Config = ReturnType<typeof readConfig>;

/** A configuration that can't be used; the message names every variable at fault. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** An empty variable is an unset one. */
function given(environment: Environment): Environment {
  return Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  );
}

function refuseUnknown(environment: Environment): void {
  const later: readonly string[] = LATER_NAMES;
  const unknown = Object.keys(environment).filter(
    (name) => name.startsWith('OPENCLAW_') && !KNOWN_NAMES.has(name) && !later.includes(name),
  );
  if (unknown.length === 0) return;
  throw new ConfigError(`Unknown variable ${unknown.join(', ')}. Known: ${[...KNOWN_NAMES].join(', ')}`);
}

/** An existing Temporal server instead of the embedded one, as the official variables and files describe it. */
function externalTemporal(environment: Environment) {
  const named = ['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'];
  if (!named.some((name) => environment[name])) return null;
  const overrideEnvVars = environment as Record<string, string>;
  const { connectionOptions, namespace } = loadClientConnectConfig({ overrideEnvVars });
  const { address, tls, apiKey, metadata } = connectionOptions;
  if (address !== undefined && !isTemporalAddress(address))
    throw new ConfigError('TEMPORAL_ADDRESS must be host:port, without a scheme, user, password or path');
  return { connection: { address, tls, apiKey, metadata }, namespace: namespace ?? 'default' };
}

function parse(environment: Environment) {
  const result = Variables.safeParse(environment);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new ConfigError(`The environment has mistakes:\n  ${lines.join('\n  ')}`);
}

/** @throws ConfigError */
export function readConfig(variables: Environment = process.env) {
  const environment = given(variables);
  refuseUnknown(environment);
  const parsed = parse(environment);
  return {
    port: parsed.PORT,
    host: parsed.HOST,
    dataDir: parsed.OPENCLAW_DATA_DIR,
    /** Null: SQLite in the data directory. */
    databaseUrl: parsed.DATABASE_URL ?? null,
    /** Null: processes hear of each other through the database, and count calls each for itself. */
    redisUrl: parsed.REDIS_URL ?? null,
    apiKey: parsed.OPENCLAW_API_KEY ?? null,
    secretKey: parsed.OPENCLAW_SECRET_KEY ?? null,
    syncWaitMs: parsed.OPENCLAW_SYNC_WAIT_SECONDS * 1_000,
    rateLimitPerMinute: parsed.OPENCLAW_RATE_LIMIT_PER_MINUTE,
    /** Null: as many as the process has descriptors for, up to a default. */
    maxConnections: parsed.OPENCLAW_MAX_CONNECTIONS ?? null,
    modelsFile: parsed.OPENCLAW_MODELS_FILE ?? null,
    trustedProxies: parsed.OPENCLAW_TRUSTED_PROXIES,
    /** Of web pages that may call this server and read its answers. */
    corsOrigins: parsed.OPENCLAW_CORS_ORIGINS,
    /** Hosts and subnets that requests to addresses of clients may reach although they are private. */
    egressAllow: parsed.OPENCLAW_EGRESS_ALLOW,
    showPreviews: parsed.OPENCLAW_TEMPORAL_PREVIEWS,
    /** Null: the port of the last start, else 8233 or the next free one. */
    temporalUiPort: parsed.OPENCLAW_TEMPORAL_UI_PORT ?? null,
    logLevel: parsed.OPENCLAW_LOG_LEVEL,
    anthropicApiKey: parsed.ANTHROPIC_API_KEY ?? null,
    anthropicBaseUrl: parsed.ANTHROPIC_BASE_URL ?? null,
    /** Binaries are kept here across checkouts and data directories. */
    cacheDir: `${parsed.XDG_CACHE_HOME ?? `${parsed.HOME}/.cache`}/openclaw`,
    searchPath: parsed.PATH,
    externalTemporal: externalTemporal(environment),
    warnings: LATER_NAMES.filter((name) => environment[name]).map(
      (name) => `${name} is set, but this version does not use it yet`,
    ),
  };
}

const SECRETS = ['databaseUrl', 'redisUrl', 'apiKey', 'secretKey', 'anthropicApiKey'] as const;

/** The configuration as it may be logged: of secrets, and of what gets into Temporal, only whether they are set. */
export function describeConfig(config: Config): Record<string, unknown> {
  const { warnings, searchPath, externalTemporal, ...shown } = config;
  const hidden = SECRETS.map((name) => [name, config[name] === null ? 'unset' : 'set'] as const);
  const temporal = externalTemporal && {
    address: externalTemporal.connection.address,
    namespace: externalTemporal.namespace,
    tls: Boolean(externalTemporal.connection.tls),
    apiKey: externalTemporal.connection.apiKey ? 'set' : 'unset',
  };
  return { ...shown, ...Object.fromEntries(hidden), temporal: temporal ?? 'embedded' };
}
