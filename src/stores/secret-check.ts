// Refuses to work with another secret than the database was made with: every API key would be unknown, every webhook unsigned.
import { createHmac } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Tables } from './schema.ts';

const NAME = 'secret_check';

/** Says nothing about the secret to whoever reads the database: it is as hard to guess from this as from the keys' hashes. */
const checkValue = (secretKey: string): string =>
  createHmac('sha256', secretKey).update('openclaw: check of the secret').digest('hex');

/**
 * The first start stores the value; so does the first one after an upgrade. Of several that start at once, one does.
 * @throws {Error} in words for the operator, when this is another secret.
 */
export async function assertSecret(db: Kysely<Tables>, secretKey: string): Promise<void> {
  const value = checkValue(secretKey);
  const stored = () =>
    db.selectFrom('installation').select('value').where('name', '=', NAME).executeTakeFirst();
  let found = await stored();
  if (!found) {
    await db
      .insertInto('installation')
      .values({ name: NAME, value })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    found = await stored();
  }
  if (found?.value === value) return;
  throw new Error(
    'The secret is not the one that this database was made with: OPENCLAW_SECRET_KEY, or secret.key in the data directory, ' +
      'is cut off, changed or of another installation. No API key would work. Put the secret back from a backup ' +
      '(docs/operations.md, which also says how to go on with a new secret)',
  );
}
