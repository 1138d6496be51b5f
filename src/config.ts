// The only reader of the environment: one strict schema, so a typo stops the start.
import { accessSync, constants } from 'node:fs';
import { isIP } from 'node:net';
import { homedir } from 'node:os';
import { isAbsolute } from 'node:path';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { z } from 'zod';
import { isSubnet, mistakesIn } from './egress/allow-list.ts';
import { similarName } from './similar-name.ts';

type Environment = Record<string, string | undefined>;

/** Read by the client libraries, which share the prefix. */
const CLIENT_NAMES = ['OPENCLAW_BASE_URL', 'OPENCLAW_LOG'] as const;

/** Reserved for later versions. Accepted with a warning, so one environment can serve several versions. */
const LATER_NAMES = ['OPENCLAW_BLOB_URL', 'OPENCLAW_WORKER_QUEUES'] as const;

function wholeNumber(min: number, max: number) {
  const mistake = `must be a whole number from ${min} to ${max}`;
  const isInRange = (value: number) => value >= min && value <= max;
  return z.string().regex(/^\d+$/, mistake).transform(Number).refine(isInRange, mistake);
}

function oneOf<const Names extends readonly string[]>(names: Names) {
  return z.enum(names, `must be ${names.slice(0, -1).join(', ')} or ${names.at(-1)}`);
}

/** The reason why an HTTP header can't carry this key. The key itself is never part of a message. */
function headerMistake(key: string): string | null {
  if (/[\r\n]/.test(key)) return 'must hold no line break';
  // `docker run --env-file` keeps quotes as part of the value.
  if (/^(['"]).*\1$/.test(key)) return 'must not stand in quotes';
  if (/\s/.test(key)) return 'must hold no spaces or other white space';
  return /^[\x21-\x7e]+$/.test(key) ? null : 'must hold plain ASCII characters only';
}

const headerKey = z.string().superRefine((key, context) => {
  const message = headerMistake(key);
  if (message !== null) context.addIssue({ code: 'custom', message });
});

const isHost = (text: string): boolean => isIP(text) !== 0 || /^[\w.-]+$/.test(text);

/** Paths of single calls, of this API and others. A gateway may use more paths behind its own `/v1`. */
const isEndpoint = (address: string): boolean =>
  /\/v1\/+(messages|complete|models|responses|chat)(\/|$)|\/completions$/i.test(address);

/** Includes encoded forms, because a server may decode the path. */
const hasQuery = (text: string): boolean => /[?#]|%3f|%23/i.test(text);

/** The base address of the Messages API, without the `/v1` that each call adds. */
const modelAddress = z
  .string()
  .transform((text) => text.trim())
  .superRefine((text, context) => {
    const refuse = (message: string) => context.addIssue({ code: 'custom', message });
    if (!/^https?:\/\/[^\s/]\S*$/i.test(text) || !URL.canParse(text)) return refuse('must be an http(s) URL');
    const { username, password } = new URL(text);
    if (username + password !== '' || /^[^/]+\/\/[^/?#]*@/.test(text))
      refuse('must hold no user or password; the key belongs in ANTHROPIC_API_KEY');
    if (hasQuery(text)) refuse('must hold no query and no fragment (no ? and no #)');
  })
  .transform((text) => {
    const { origin, pathname } = new URL(text);
    const path = pathname.replace(/\/+$/, '').replace(/\/v1(\/+messages)?$/i, '');
    return origin + path.replace(/\/+$/, '');
  })
  .refine(
    (address) => !isEndpoint(address),
    'must end before the endpoint, such as https://gateway.example or https://gateway.example/v1',
  );

/**
 * A path of one part, and parameters with values, as libpq accepts them. Anything else is a password that isn't percent-encoded.
 */
const POSTGRES_ADDRESS = /^postgres(ql)?:\/\/[^\s/?#]*(\/[^\s/?#@]*)?(\?([a-z_]+=[^&\t\r\n]*(&|$))*)?$/;

/** Without a path, libpq takes the text before an `@` for a user. */
const HIDDEN_USER = /^\w+:\/\/[^/?]*\?.*@/;

const isPostgresAddress = (text: string): boolean => POSTGRES_ADDRESS.test(text) && !HIDDEN_USER.test(text);

/** libpq takes these characters literally. The driver would read a fragment or a space, or an unencoded text. */
function forDriver(text: string): string {
  const [place = '', ...query] = text.replace(/%(?![0-9a-f]{2})/gi, '%25').split('?');
  return [place, ...query.map((part) => part.replace(/[ #+]/g, encodeURIComponent))].join('?');
}

/** Temporal's clients add the scheme themselves, and show the address in their errors. */
const isTemporalAddress = (text: string): boolean => /^[^\s/?#@]+$/.test(text);

/** A query would set driver options that this schema doesn't check. */
function isRedisAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, pathname, search, hash } = new URL(text);
  return (
    /^rediss?:$/.test(protocol) && hostname !== '' && /^(\/\d*)?$/.test(pathname) && search + hash === ''
  );
}

const withoutUser = (entry: string): string => entry.replace(/^.*@/, '...@');

/** A comma-separated list. The error names each mistaken entry with `reason`. */
function commaList(reason: string, isMistake: (entry: string) => boolean) {
  return z
    .string()
    .default('')
    .transform((list) =>
      list
        .split(',')
        .map((entry) => entry.trim())
        .filter(Boolean),
    )
    .superRefine((entries, context) => {
      for (const entry of entries.filter(isMistake))
        context.addIssue({ code: 'custom', message: `'${withoutUser(entry)}' ${reason}` });
    });
}

const NO_ORIGIN = 'is no origin, such as https://app.example.com; wildcards are not supported';

/** The form that browsers send: without a path, a trailing slash, or the scheme's default port. */
const isOrigin = (text: string): boolean =>
  /^https?:\/\/[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text;

/** The names are Express's. Express accepts no subnet of all addresses. */
const isProxy = (entry: string): boolean =>
  ['loopback', 'linklocal', 'uniquelocal'].includes(entry) || (isSubnet(entry) && !/\/0+$/.test(entry));

/** Without HOME, Node asks the system's user database. For a user without an entry, the cache is in the working directory. */
function ownHome(): string {
  try {
    return homedir();
  } catch {
    return '.';
  }
}

const Variables = z.object({
  PORT: wholeNumber(0, 65_535).default(8_080),
  HOST: z
    .string()
    .refine(isHost, 'must be an address or a name of this machine, without scheme, port and brackets')
    .default('127.0.0.1'),
  OPENCLAW_DATA_DIR: z.string().default('.openclaw'),
  OPENCLAW_API_KEY: headerKey
    .refine(({ length }) => length >= 16 && length <= 256, 'must have at least 16 and at most 256 characters')
    .optional(),
  OPENCLAW_SYNC_WAIT_SECONDS: wholeNumber(1, 3_600).default(240),
  OPENCLAW_RATE_LIMIT_PER_MINUTE: wholeNumber(1, 100_000_000).default(1_000),
  OPENCLAW_MAX_CONNECTIONS: wholeNumber(16, 1_000_000).optional(),
  OPENCLAW_MODELS_FILE: z.string().optional(),
  OPENCLAW_SECRET_KEY: z.string().min(16, 'must have at least 16 characters').optional(),
  OPENCLAW_TRUSTED_PROXIES: commaList('is no IP address or subnet, such as 10.0.0.0/8', (e) => !isProxy(e)),
  OPENCLAW_CORS_ORIGINS: commaList(NO_ORIGIN, (e) => !isOrigin(e)),
  OPENCLAW_EGRESS_ALLOW: commaList('is no host, address or subnet', (e) => mistakesIn([e]).length > 0),
  OPENCLAW_TEMPORAL_PREVIEWS: oneOf(['true', 'false'])
    .default('true')
    .transform((value) => value === 'true'),
  OPENCLAW_TEMPORAL_UI_PORT: wholeNumber(1, 65_535).optional(),
  OPENCLAW_LOG_LEVEL: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  DATABASE_URL: z
    .string()
    .transform((text) => text.trim())
    .refine(
      isPostgresAddress,
      'must be a postgres:// address, with special characters in user and password percent-encoded, and parameters as name=value',
    )
    .transform(forDriver)
    .optional(),
  REDIS_URL: z
    .string()
    .transform((text) => text.trim())
    .refine(isRedisAddress, 'must be a redis:// or rediss:// address, at most with the number of a database')
    .optional(),
  ANTHROPIC_API_KEY: headerKey.optional(),
  ANTHROPIC_BASE_URL: modelAddress.optional(),
  XDG_CACHE_HOME: z.string().optional(),
  HOME: z.string().default(ownHome),
  PATH: z.string().default(''),
});

type Parsed = z.infer<typeof Variables>;

export type Config = ReturnType<typeof readConfig>;

/** A configuration that can't be used. The message names every variable at fault. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Treats an empty variable as unset. */
function given(environment: Environment): Environment {
  return Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  );
}

function mistakenNames(environment: Environment): string[] {
  const ours = Object.keys(Variables.shape);
  const known: readonly string[] = [...ours, ...CLIENT_NAMES, ...LATER_NAMES];
  const unknown = Object.keys(environment).filter(
    (name) => name.startsWith('OPENCLAW_') && !known.includes(name),
  );
  return unknown.map((name) => {
    const similar = similarName(name, ours, 'OPENCLAW_');
    const hint = similar === undefined ? 'README.md lists every variable' : `Did you mean ${similar}?`;
    return `Unknown variable ${name}. ${hint}`;
  });
}

/** White space alone looks unset, but would be read as a key, a directory or a list. */
function blankNames(environment: Environment): string[] {
  const names = [...Object.keys(Variables.shape), ...Object.keys(environment).filter(isOfTemporal)];
  return [...new Set(names)].filter((name) => name !== 'PATH' && environment[name]?.trim() === '');
}

const isOfTemporal = (name: string): boolean => name.startsWith('TEMPORAL_');

const isReadable = (file: string): boolean => {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
};

/** Temporal's own reader takes any other word for false, and a missing configuration file for an empty one. */
function temporalMistakes(environment: Environment): string[] {
  const reasonOf = (name: string, value: string): string | null => {
    if (name === 'TEMPORAL_ADDRESS' && !isTemporalAddress(value))
      return 'must be host:port, without a scheme, user, password or path';
    if (name === 'TEMPORAL_API_KEY') return headerMistake(value);
    if (/^TEMPORAL_TLS(_DISABLE_HOST_VERIFICATION)?$/.test(name) && !/^(true|false|1|0)$/.test(value))
      return 'must be true or false';
    if (/^TEMPORAL_(CONFIG_FILE|TLS_\w+_PATH)$/.test(name) && !isReadable(value))
      return `the file ${value} is not there or can't be read`;
    return null;
  };
  return Object.entries(environment).flatMap(([name, value = '']) => {
    const reason = reasonOf(name, value);
    return reason === null ? [] : [`${name}: ${reason}`];
  });
}

const TEMPORAL_SERVER_NAMES = ['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'];

const namesTemporal = (environment: Environment): boolean =>
  TEMPORAL_SERVER_NAMES.some((name) => environment[name]);

/** Keeps only the first line: the library's later lines quote the file, which may hold a key. */
function explainTemporal(environment: Environment, error: unknown): ConfigError {
  const [reason = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  const given = Object.keys(environment).filter(isOfTemporal).join(', ');
  return new ConfigError(`Temporal's settings (${given}) can't be used: ${reason}`, { cause: error });
}

/** An existing Temporal server instead of the embedded one, configured by Temporal's official variables and files. */
function externalTemporal(environment: Environment) {
  if (!namesTemporal(environment)) return null;
  try {
    const { connectionOptions, namespace } = loadClientConnectConfig({
      overrideEnvVars: environment as Record<string, string>,
    });
    const { address, tls, apiKey, metadata } = connectionOptions;
    if (address !== undefined && !isTemporalAddress(address))
      throw new Error('the address must be host:port, without a scheme, user, password or path');
    return { connection: { address, tls, apiKey, metadata }, namespace: namespace ?? 'default' };
  } catch (error) {
    throw explainTemporal(environment, error);
  }
}

/** The embedded Temporal UI and the API can't share a port. */
function portMistakes(environment: Environment, { PORT, OPENCLAW_TEMPORAL_UI_PORT }: Parsed): string[] {
  if (PORT !== OPENCLAW_TEMPORAL_UI_PORT || namesTemporal(environment)) return [];
  return [`OPENCLAW_TEMPORAL_UI_PORT: must differ from PORT, which is ${PORT} too`];
}

/** @throws {ConfigError} naming every mistake at once. */
function parse(environment: Environment) {
  const blank = blankNames(environment);
  const filled = Object.fromEntries(Object.entries(environment).filter(([name]) => !blank.includes(name)));
  const result = Variables.safeParse(filled);
  const lines = [
    ...mistakenNames(environment),
    ...blank.map((name) => `${name}: holds white space only`),
    ...(result.error?.issues ?? []).map((issue) => `${issue.path.join('.')}: ${issue.message}`),
    ...(namesTemporal(filled) ? temporalMistakes(filled) : []),
    ...(result.success ? portMistakes(filled, result.data) : []),
  ];
  if (result.success && lines.length === 0) return result.data;
  throw new ConfigError(`The environment has mistakes:\n  ${lines.join('\n  ')}`);
}

/** Settings without effect. */
function warningsOf(environment: Environment): string[] {
  const { XDG_CACHE_HOME } = environment;
  const later = LATER_NAMES.filter((name) => environment[name]).map(
    (name) => `${name} is set, but this version does not use it yet`,
  );
  const temporal = Object.keys(environment).filter(isOfTemporal);
  const relative = XDG_CACHE_HOME !== undefined && !isAbsolute(XDG_CACHE_HOME);
  return [
    ...later,
    ...(relative ? ['XDG_CACHE_HOME is a relative path and is ignored: set an absolute one'] : []),
    ...(temporal.length > 0 && !namesTemporal(environment)
      ? [`${temporal.join(', ')} has no effect without TEMPORAL_ADDRESS: the embedded server is used`]
      : []),
  ];
}

/** The XDG specification: ignore a relative path. */
function cacheHome({ XDG_CACHE_HOME, HOME }: { XDG_CACHE_HOME?: string | undefined; HOME: string }): string {
  return XDG_CACHE_HOME !== undefined && isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : `${HOME}/.cache`;
}

/** @throws ConfigError */
export function readConfig(variables: Environment = process.env) {
  const environment = given(variables);
  const parsed = parse(environment);
  return {
    port: parsed.PORT,
    host: parsed.HOST,
    dataDir: parsed.OPENCLAW_DATA_DIR,
    /** Null: SQLite in the data directory. */
    databaseUrl: parsed.DATABASE_URL ?? null,
    /** Null: processes poll the database for each other's events, and each process counts calls separately. */
    redisUrl: parsed.REDIS_URL ?? null,
    apiKey: parsed.OPENCLAW_API_KEY ?? null,
    secretKey: parsed.OPENCLAW_SECRET_KEY ?? null,
    syncWaitMs: parsed.OPENCLAW_SYNC_WAIT_SECONDS * 1_000,
    rateLimitPerMinute: parsed.OPENCLAW_RATE_LIMIT_PER_MINUTE,
    /** Null: as many as the process has descriptors for, up to a default. */
    maxConnections: parsed.OPENCLAW_MAX_CONNECTIONS ?? null,
    modelsFile: parsed.OPENCLAW_MODELS_FILE ?? null,
    trustedProxies: parsed.OPENCLAW_TRUSTED_PROXIES,
    /** Origins of web pages that may call this server and read its responses. */
    corsOrigins: parsed.OPENCLAW_CORS_ORIGINS,
    /** Private hosts and subnets that requests to user-supplied addresses may reach. */
    egressAllow: parsed.OPENCLAW_EGRESS_ALLOW,
    showPreviews: parsed.OPENCLAW_TEMPORAL_PREVIEWS,
    /** Null: the port of the last start, else 8233 or the next free one. */
    temporalUiPort: parsed.OPENCLAW_TEMPORAL_UI_PORT ?? null,
    logLevel: parsed.OPENCLAW_LOG_LEVEL,
    anthropicApiKey: parsed.ANTHROPIC_API_KEY ?? null,
    anthropicBaseUrl: parsed.ANTHROPIC_BASE_URL ?? null,
    /** Binaries stay here across checkouts and data directories. */
    cacheDir: `${cacheHome(parsed)}/openclaw`,
    searchPath: parsed.PATH,
    externalTemporal: externalTemporal(environment),
    warnings: warningsOf(environment),
  };
}

const SECRETS = ['databaseUrl', 'redisUrl', 'apiKey', 'secretKey', 'anthropicApiKey'] as const;

/** The configuration for the log. Secrets and Temporal's credentials appear only as set or unset. */
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
