// `openclaw keys create`: creates a key for the operator, also while the server runs.
import { existsSync } from 'node:fs';
import { type Config, ConfigError } from '../config.ts';
import { Level } from '../contracts/api-keys.ts';
import { readSecret } from '../data-directory.ts';
import { createLog } from '../log.ts';
import { createApiKeys } from '../services/api-keys.ts';
import { createOnce } from '../services/idempotency.ts';
import { createAccessStore } from '../stores/access.ts';
import { isPostgres, migrateDatabase, openStore } from '../stores/open.ts';
import { assertSecret } from '../stores/secret-check.ts';
import { databaseOf, secretKeyFile } from './paths.ts';

const ACCOUNT_NAME_LENGTH_MAX = 100;

function checked(account: string, level: string): Level {
  if (account.length === 0 || account.length > ACCOUNT_NAME_LENGTH_MAX)
    throw new Error(`--account must have 1 to ${ACCOUNT_NAME_LENGTH_MAX} characters`);
  const parsed = Level.safeParse(level);
  if (!parsed.success) throw new Error(`--level must be one of ${Level.options.join(', ')}, not '${level}'`);
  return parsed.data;
}

/** A key only works with servers that have the same secret. */
function secretKeyOf({ secretKey, dataDir, databaseUrl }: Config): string {
  const file = secretKeyFile(dataDir);
  if (secretKey !== null) return secretKey;
  if (databaseUrl !== null && !existsSync(file))
    throw new ConfigError('`openclaw keys create` needs OPENCLAW_SECRET_KEY, the one that the servers have');
  return readSecret(file);
}

export async function createKey(config: Config, account: string, levelName: string): Promise<number> {
  const level = checked(account, levelName);
  const database = databaseOf(config);
  if (!isPostgres(database) && !existsSync(database))
    throw new Error(`${config.dataDir} holds no data yet: start the server once, with \`npm start\``);
  const secretKey = secretKeyOf(config);
  const log = createLog(config.logLevel);
  await migrateDatabase(database, log);
  const store = openStore(database, log);
  const { db } = store;
  try {
    await assertSecret(db, secretKey);
    const now = Date.now;
    const apiKeys = createApiKeys({
      access: createAccessStore(store),
      secretKey,
      once: createOnce({ db, now }),
      now,
    });
    process.stdout.write(`${await apiKeys.createForAccount(account, level)}\n`);
  } finally {
    await db.destroy();
  }
  return 0;
}
