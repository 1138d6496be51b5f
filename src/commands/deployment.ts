// The settings that all processes of a deployment share. All must be configured, as no process can generate them for the others.
import { type Config, ConfigError } from '../config.ts';
import { TASK_QUEUE } from './paths.ts';

const NEEDED = {
  databaseUrl: 'DATABASE_URL (a postgres:// address)',
  externalTemporal: 'TEMPORAL_ADDRESS or TEMPORAL_PROFILE (a Temporal server)',
  secretKey: 'OPENCLAW_SECRET_KEY (the secret that all of its processes share)',
} as const;

type Needed = keyof typeof NEEDED;
type With<Name extends Needed> = Config & { [N in Name]: NonNullable<Config[N]> };

const has = <Name extends Needed>(config: Config, names: readonly Name[]): config is With<Name> =>
  names.every((name) => config[name] !== null);

/** @throws {ConfigError} naming all missing settings. */
function needing<Name extends Needed>(command: string, config: Config, names: readonly Name[]): With<Name> {
  if (has(config, names)) return config;
  const missing = names.filter((name) => config[name] === null).map((name) => NEEDED[name]);
  throw new ConfigError(`\`openclaw ${command}\` needs ${missing.join(' and ')}`);
}

/** The shared settings of an `api` or `worker` process. */
export function deploymentOf(command: string, config: Config) {
  const { databaseUrl, externalTemporal, secretKey } = needing(command, config, [
    'databaseUrl',
    'externalTemporal',
    'secretKey',
  ]);
  // The UI of an external server has an unknown address.
  const temporal = { ...externalTemporal, taskQueue: TASK_QUEUE, uiUrl: null };
  return { database: databaseUrl, temporal, secretKey };
}

export const databaseUrlOf = (command: string, config: Config): string =>
  needing(command, config, ['databaseUrl']).databaseUrl;
