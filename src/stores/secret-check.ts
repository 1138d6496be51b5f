// Refuses to start with a secret other than the database's: no API key would be valid, and no webhook could be signed.
import { createHmac } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Tables } from './schema.ts';

const NAME = 'secret_check';

/** Reveals nothing about the secret: guessing it from this value is as hard as guessing it from the keys' hashes. */
const checkValue = (secretKey: string): string =>
  createHmac('sha256', secretKey).update('openclaw: check of the secret').digest('hex');

const storedValue = (db: Kysely<Tables>) =>
  db.selectFrom('installation').select('value').where('name', '=', NAME).executeTakeFirst();

/** Stores the check value of a proven secret, unless there is a value already. */
export async function keepSecret(db: Kysely<Tables>, secretKey: string): Promise<void> {
  await db
    .insertInto('installation')
    .values({ name: NAME, value: checkValue(secretKey) })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/**
 * A new database stores the check value of its first start. After an upgrade from a version without this check, the value is
 * stored once the secret has validated an API key. Of several simultaneous first starts, one wins.
 * @throws {Error} for the operator if the secret is a different one.
 */
export async function assertSecret(db: Kysely<Tables>, secretKey: string): Promise<void> {
  const known = await storedValue(db);
  const isInUse = async () =>
    (await db.selectFrom('api_keys').select('id').limit(1).executeTakeFirst()) !== undefined;
  if (!known && (await isInUse())) return;
  if (!known) await keepSecret(db, secretKey);
  const found = known ?? (await storedValue(db));
  if (found?.value === checkValue(secretKey)) return;
  throw otherSecret();
}

/**
 * Changes nothing and accepts a database without tables.
 * @throws {Error} as `assertSecret` does.
 */
export async function refuseOtherSecret(db: Kysely<Tables>, secretKey: string): Promise<void> {
  const tables = await db.introspection.getTables();
  if (!tables.some(({ name }) => name === 'installation')) return;
  const known = await storedValue(db);
  if (known && known.value !== checkValue(secretKey)) throw otherSecret();
}

const otherSecret = (): Error =>
  new Error(
    'The secret is not the one that this database was made with: OPENCLAW_SECRET_KEY, or secret.key in the data directory, ' +
      'is cut off, changed or of another installation. No API key would work. Put the secret back from a backup ' +
      '(docs/operations.md, which also says how to go on with a new secret)',
  );
