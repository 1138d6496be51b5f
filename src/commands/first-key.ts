// The first admin key: generated and kept in a data directory, or given by the operator of a deployment.
import { existsSync } from 'node:fs';
import { type Config, ConfigError } from '../config.ts';
import { readOrCreateSecret, readSecret } from '../data-directory.ts';
import { isWellFormed, newKey } from '../services/api-key-format.ts';
import type { ApiKeys } from '../services/api-keys.ts';
import { adminKeyFile } from './paths.ts';

const ACCOUNT_NAME = 'default';

interface FirstKey {
  /** Set if the key was generated now. The operator's own key is never printed. */
  adminKey: string | null;
  /** A likely mistake of the operator. */
  warning: string | null;
}

interface FirstKeyOfDirectory extends FirstKey {
  /** The reason why `admin.key` has no valid key. Null if the key is valid. */
  lostKey: string | null;
}

/** Runs before the slow parts of a start. @throws {ConfigError} if no call could ever present the operator's key. */
export function checkGivenKey({ apiKey }: Config): void {
  if (apiKey === null || isWellFormed(apiKey)) return;
  throw new ConfigError('OPENCLAW_API_KEY: looks like one of our own keys but is mistyped or cut off');
}

async function keyOfBefore(apiKey: string | null, apiKeys: ApiKeys, where: string): Promise<FirstKey> {
  const other = apiKey !== null && !(await apiKeys.knows(apiKey));
  const warning = `OPENCLAW_API_KEY is not a key of ${where}: it is read at the first start only`;
  return { adminKey: null, warning: other ? warning : null };
}

/** The reason why the key file is unusable. The operator may have moved the file to a safer place on purpose. */
async function lostKeyIn(file: string, apiKeys: ApiKeys): Promise<string | null> {
  if (!existsSync(file)) return 'is not there';
  try {
    return (await apiKeys.knows(readSecret(file))) ? null : 'holds no key of this data directory';
  } catch (error) {
    if (error instanceof Error && 'code' in error) return "can't be read";
    return 'is empty or no file';
  }
}

/** `dev`: generates a key if none is given. */
export async function firstKeyOfDirectory(config: Config, apiKeys: ApiKeys): Promise<FirstKeyOfDirectory> {
  const { apiKey: given } = config;
  const file = adminKeyFile(config.dataDir);
  if (await apiKeys.hasKeys()) {
    const first = await keyOfBefore(given, apiKeys, 'this data directory');
    return { ...first, lostKey: await lostKeyIn(file, apiKeys) };
  }
  // The file comes first. After a crash in between, the next start takes the key from the file. Otherwise the key would be lost.
  const { value: adminKey } = readOrCreateSecret(file, () => given ?? newKey());
  if (given !== null && given !== adminKey)
    throw new ConfigError(
      `OPENCLAW_API_KEY: ${file} holds another key; delete the file or unset the variable`,
    );
  await apiKeys.createForAccount(ACCOUNT_NAME, 'admin', adminKey);
  return { adminKey: given === null ? adminKey : null, warning: null, lostKey: null };
}

const NO_KEY =
  'There is no API key yet: run `openclaw keys create --account NAME --level admin`, or set OPENCLAW_API_KEY';

/** `api`: several processes that start at once with the same key create it once. None is generated: only one could print it. */
export async function firstKeyOfDeployment(config: Config, apiKeys: ApiKeys): Promise<FirstKey> {
  const { apiKey: given } = config;
  if (await apiKeys.hasKeys()) return keyOfBefore(given, apiKeys, 'this database');
  if (given === null) return { adminKey: null, warning: NO_KEY };
  await apiKeys.createForAccount(ACCOUNT_NAME, 'admin', given);
  return { adminKey: given, warning: null };
}
