// Refuses to work with another secret than the database was made with: every API key would be unknown, every webhook unsigned.
import { createHmac } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Tables } from './schema.ts';

const NAME = 'secret_check';

/** Says nothing about the secret to whoever reads the database: it is as hard to guess from this as from the keys' hashes. */
const checkValue = (secretKey: string): string =>
  createHmac('sha256', secretKey).update('openclaw: check of the secret').digest('hex');

const storedValue = (db: Kysely<Tables>) =>
  db.selectFrom('installation').select('value').where('name', '=', NAME).executeTakeFirst();

/** Remembers a secret that has proved right, unless one is remembered. */
export async function keepSecret(db: Kysely<Tables>, secretKey: string): Promise<void> {
  await db
    .insertInto('installation')
    .values({ name: NAME, value: checkValue(secretKey) })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/**
 * A new database remembers the secret of its first start. After an upgrade from a version without this check, the secret is
 * remembered when it has proved right: when it makes an API key work. Of several first starts at once, one wins.
 * @throws {Error} in words for the operator, when this is another secret.
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
 * Changes nothing, and takes a database without tables.
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
